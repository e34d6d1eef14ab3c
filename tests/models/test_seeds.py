"""Both seed documents are read, and whatever they declare must exist in comfynb.models."""

import ast
import re
from datetime import UTC, datetime, timedelta

import pytest
from pydantic_core import PydanticUndefined

from comfynb import models

REQUIRED = "required"
NOW = "now"
NEW_ID = "new id"
PASCAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def actual_default(model, name):
    """The default that the model really gives, or REQUIRED."""
    field = model.model_fields[name]
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True, validated_data={})
    assert value is not PydanticUndefined
    if isinstance(value, datetime):
        assert value.utcoffset() == timedelta(0)
        assert abs(value - datetime.now(UTC)) < timedelta(minutes=1)
        return NOW
    if name == "id":
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value)
        assert value != field.get_default(call_default_factory=True, validated_data={})
        return NEW_ID
    if isinstance(value, list | dict) or hasattr(value, "model_fields_set"):
        again = field.get_default(call_default_factory=True, validated_data={})
        assert again == value
        assert again is not value, f"{name} shares its default"
    return value


def takes_none(model, name):
    adapter = {name: None}
    errors = []
    try:
        model.model_validate(adapter)
    except ValueError as error:
        errors = [e for e in error.errors() if e["loc"][:1] == (name,)]
    return not errors


# ---- the orchestrator's document: Python classes --------------------------------------------


def orchestrator_classes(text):
    """Yield every class in the document's Python blocks, as syntax."""
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for node in ast.parse(block).body:
            if isinstance(node, ast.ClassDef):
                yield node


def seed_default(value):
    """The default that a field's right side declares."""
    if value is None:
        return REQUIRED
    if isinstance(value, ast.Call):
        assert value.func.id == "Field"
        keywords = {keyword.arg: keyword.value for keyword in value.keywords}
        if "default" in keywords:
            return seed_default(keywords["default"])
        if "default_factory" not in keywords:
            return REQUIRED
        factory = ast.unparse(keywords["default_factory"])
        if factory == "datetime.utcnow":
            return NOW
        if factory in {"list", "dict"}:
            return {"list": [], "dict": {}}[factory]
        return getattr(models, factory)()
    if isinstance(value, ast.Attribute):
        return getattr(getattr(models, value.value.id), value.attr)
    return ast.literal_eval(value)


@pytest.fixture(scope="module")
def orchestrator(shared):
    return (shared / "seeds" / "orchestrator-data-models.md").read_text()


@pytest.fixture(scope="module")
def builder(shared):
    return (shared / "seeds" / "deployment-builder-schema.md").read_text()


def test_every_class_of_the_orchestrator_exists_as_declared(orchestrator):
    wrong, seen = [], []
    for node in orchestrator_classes(orchestrator):
        seen.append(node.name)
        ours = getattr(models, node.name, None)
        if ours is None:
            wrong.append(f"{node.name} is missing")
            continue
        bases = {ast.unparse(base) for base in node.bases}
        for item in node.body:
            if "Enum" in bases and isinstance(item, ast.Assign):
                name, value = item.targets[0].id, ast.literal_eval(item.value)
                if name not in ours.__members__ or ours[name].value != value:
                    wrong.append(f"{node.name}.{name} != {value!r}")
                if not isinstance(ours[name], str):
                    wrong.append(f"{node.name}.{name} is no str")
            elif isinstance(item, ast.AnnAssign):
                name, expected = item.target.id, seed_default(item.value)
                if name not in ours.model_fields:
                    wrong.append(f"{node.name}.{name} is missing")
                    continue
                if (actual := actual_default(ours, name)) != expected:
                    wrong.append(f"{node.name}.{name} defaults to {actual!r}, not {expected!r}")
                type_ = ast.unparse(item.annotation)
                if type_ != "Any" and takes_none(ours, name) != type_.startswith("Optional"):
                    wrong.append(f"{node.name}.{name} is {type_} in the seed")
            elif isinstance(item, ast.FunctionDef) and not isinstance(
                getattr(ours, item.name, None), property
            ):
                wrong.append(f"{node.name}.{item.name} is no property")
    assert not wrong
    headings = re.findall(r"^### (\w+)$", orchestrator, re.MULTILINE)
    assert seen == headings, "the reader missed a class of the document"
    print(f"{len(seen)} classes of the orchestrator's seed")


def test_orchestrator_classes_refuse_to_be_made_of_nothing(orchestrator):
    """A field that the seed requires is required: with all others left out, only they are named."""
    for node in orchestrator_classes(orchestrator):
        if "BaseModel" not in {ast.unparse(base) for base in node.bases}:
            continue
        required = {
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and seed_default(item.value) == REQUIRED
        }
        try:
            getattr(models, node.name)()
            missing = set()
        except ValueError as error:
            missing = {e["loc"][0] for e in error.errors() if e["type"] == "missing"}
        assert missing == required, node.name


def test_every_column_of_the_orchestrators_tables_is_a_field(orchestrator):
    tables = re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", orchestrator, re.DOTALL)
    assert tables
    by_table = {
        cls.table_name: cls
        for cls in map(models.__dict__.get, models.__all__)
        if isinstance(cls, type)
        and issubclass(cls, models.StoredModel)
        and cls is not models.StoredModel
    }
    for table, body in tables:
        model = by_table[table]
        columns = {line.split()[0] for line in body.strip().splitlines()}
        assert columns <= set(model.columns().values()), table
        for column, target in re.findall(r"^\s*(\w+) .*REFERENCES (\w+)\(id\)", body, re.MULTILINE):
            assert model.foreign_keys[column].table == target
            assert model.foreign_keys[column].column == "id"


# ---- the deployment builder's document: Prisma and zod --------------------------------------

SCALARS = {"String", "Boolean", "DateTime", "Int", "BigInt", "Float", "Json"}


def prisma_blocks(text, kind):
    prisma = re.search(r"```prisma\n(.*?)```", text, re.DOTALL)[1]
    for name, body in re.findall(rf"^{kind} (\w+) {{\n(.*?)^}}", prisma, re.DOTALL | re.MULTILINE):
        lines = [line.split("//")[0].strip() for line in body.splitlines()]
        yield name, [line for line in lines if line]


def prisma_default(attributes, type_, enums):
    found = re.search(r"@default\((.*?)\)(?=\s|$)", attributes)
    if not found:
        return NOW if "@updatedAt" in attributes else REQUIRED
    text = found[1]
    if text in {"cuid()", "now()"}:
        return {"cuid()": NEW_ID, "now()": NOW}[text]
    if type_ in enums:
        return getattr(models, type_)[text]
    value = {"true": True, "false": False}.get(text)
    if value is None:
        value = ast.literal_eval(text)
    return {"[]": [], "{}": {}}.get(value, value) if isinstance(value, str) else value


def test_every_enum_of_the_builder_exists_as_declared(builder):
    enums = dict(prisma_blocks(builder, "enum"))
    assert len(enums) == len(re.findall(r"^enum ", builder, re.MULTILINE))
    for name, members in enums.items():
        ours = getattr(models, name)
        assert [member.name for member in ours][: len(members)] == members, name
        assert all(member.value == member.name and isinstance(member, str) for member in ours)


def test_every_model_of_the_builder_exists_as_declared(builder):
    enums = dict(prisma_blocks(builder, "enum"))
    declared = dict(prisma_blocks(builder, "model"))
    assert len(declared) == len(re.findall(r"^model ", builder, re.MULTILINE))
    wrong = []
    for name, lines in declared.items():
        ours = getattr(models, name)
        keys, unique, primary, fields = {}, [], ("id",), set()
        for line in lines:
            if line.startswith("@@"):
                if found := re.fullmatch(r'@@map\("(\w+)"\)', line):
                    if ours.table_name != found[1]:
                        wrong.append(f"{name}: table {ours.table_name}, not {found[1]}")
                elif found := re.fullmatch(r"@@id\(\[(.*)\]\)", line):
                    primary = tuple(re.split(r",\s*", found[1]))
                elif found := re.fullmatch(r"@@unique\(\[(.*)\]\)", line):
                    unique.append(tuple(re.split(r",\s*", found[1])))
                else:
                    wrong.append(f"{name}: cannot read {line}")
                continue
            field, type_, attributes = (*line.split(None, 2), "")[:3]
            optional, bare = type_.endswith("?"), type_.rstrip("?")
            if bare.removesuffix("[]") in declared:
                if found := re.search(
                    r"fields: \[(\w+)\], references: \[(\w+)\], onDelete: (\w+)", attributes
                ):
                    keys[found[1]] = (declared_table(declared, bare), found[2], found[3])
                continue
            assert bare in SCALARS or bare in enums, line
            fields.add(field)
            if field not in ours.model_fields:
                wrong.append(f"{name}.{field} is missing")
                continue
            expected = prisma_default(attributes, bare, enums)
            if expected == REQUIRED and optional:
                expected = None
            if (actual := actual_default(ours, field)) != expected:
                wrong.append(f"{name}.{field} defaults to {actual!r}, not {expected!r}")
            if takes_none(ours, field) != optional:
                wrong.append(f"{name}.{field} is {type_} in the seed")
            if "@unique" in attributes:
                unique.append((field,))
        assert set(ours.model_fields) == fields, name
        assert ours.primary_key == primary, name
        assert sorted(ours.unique_fields) == sorted(unique), name
        on_delete = {"Cascade": "cascade", "SetNull": "set null"}
        for field, (table, column, action) in keys.items():
            ours_key = ours.foreign_keys[field]
            assert (ours_key.table, ours_key.column) == (table, column), name
            if action == "SetNull" and not takes_none(ours, field):
                continue  # the seed wants null in a column that takes none
            assert ours_key.on_delete == on_delete[action], name
        assert set(ours.foreign_keys) == set(keys), name
    assert not wrong
    print(f"{len(declared)} models and {len(enums)} enums of the deployment builder's seed")


def declared_table(declared, name):
    return next(
        found[1] for line in declared[name] if (found := re.fullmatch(r'@@map\("(\w+)"\)', line))
    )


def test_the_columns_that_the_builder_indexes_exist(builder):
    tables = {
        cls.table_name: set(cls.columns().values())
        for cls in vars(models).values()
        if isinstance(cls, type)
        and issubclass(cls, models.StoredModel)
        and cls is not models.StoredModel
    }
    indexes = re.findall(r"ON (\w+)\(([\w, ]+?)(?: DESC)?\);", builder)
    assert indexes
    for table, columns in indexes:
        assert set(re.split(r",\s*", columns)) <= tables[table], table


@pytest.mark.parametrize(
    ("schema", "model"),
    [("metadataSchema", "ModelMetadata"), ("customSettingsSchema", "CustomSettings")],
)
def test_the_zod_schemas_exist(builder, schema, model):
    body = re.search(rf"const {schema} = z\.object\({{\n(.*?)\n}}\);", builder, re.DOTALL)[1]
    ours = getattr(models, model)
    found = re.findall(r"^  (\w+): z\.(.*)$", body, re.MULTILINE)
    assert {name for name, _ in found} == set(ours.model_fields)
    assert all(actual_default(ours, name) is None for name, _ in found)
    inner = re.search(r"stats: z\.object\({\n(.*?)\n  }\)", body, re.DOTALL)
    if inner:
        names = set(re.findall(r"^    (\w+): z\.number", inner[1], re.MULTILINE))
        assert names == set(models.ModelStats.model_fields)
    for name, type_ in found:
        wrong = {"array": "x", "string": 3, "object": 3}[type_.split("(")[0]]
        with pytest.raises(ValueError, match=name):
            ours.model_validate({name: wrong})
        if ".url()" in type_:
            value = "not a url" if type_.startswith("string") else ["not a url"]
            with pytest.raises(ValueError, match="URL"):
                ours.model_validate({name: value})


def test_the_builders_own_seed_rows_are_taken(builder):
    """The rows that the document's seeding script writes, with JSON as text where it says so."""
    creates = re.findall(r"create: (\{.*?\n    \})\n", builder, re.DOTALL)
    rows = [row for row in creates if "'" in row]
    assert len(rows) == 3
    for row, model in zip(rows, (models.User, models.CustomNode, models.Model), strict=True):
        text = re.sub(r"JSON\.stringify\((.*?)\)(?=[,\n])", r"\1", row, flags=re.DOTALL)
        text = re.sub(r"(\w+):(?=\s)", r"'\1':", text)
        text = re.sub(r"\btrue\b", "True", text)
        values = ast.literal_eval(text)
        made = model.model_validate(values)
        assert made.model_dump(mode="json", include=set(values)) == values
