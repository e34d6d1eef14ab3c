"""Whatever a model holds comes back from JSON unchanged, and every model has a JSON schema."""

import base64
import enum
import inspect
import json
import math
import types
import typing
from datetime import UTC, datetime, timedelta, timezone

import annotated_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator

from comfynb import models
from comfynb.models import _base, _checks, backend, deployment, job, workflow

MODELS = sorted(
    (
        cls
        for cls in vars(models).values()
        if isinstance(cls, type)
        and issubclass(cls, models.ComfynbModel)
        and cls not in {models.ComfynbModel, models.StoredModel}
    ),
    key=lambda cls: cls.__name__,
)

text = st.text(st.characters(codec="utf-8"), max_size=12)
lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
names = lines.filter(str.strip)
integers = st.integers() | st.sampled_from([2**63, 2**64 - 1, -(2**63) - 1, 10**30])
json_values = st.recursive(
    st.none() | st.booleans() | integers | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
# Offsets that keep the time within the years that a datetime has.
times = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.none() | st.timezones(),
)
label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)
hosts = (
    st.ip_addresses().map(str)
    | st.ip_addresses(v=6).map(lambda ip: f"[{ip}]")
    | st.lists(label, min_size=1, max_size=3)
    .map(lambda labels: ".".join([*labels, "Lan"]))
    .filter(lambda host: not host.startswith("xn--"))
)
urls = st.builds("https://{}/{}".format, label, label)
paths = st.builds("models/{}".format, label)
custom_settings = st.fixed_dictionaries({"further": json_values}, optional={"cuda_version": text})
metadata = st.fixed_dictionaries({"further": json_values}, optional={"tags": st.lists(text)})

BY_VALIDATOR = {
    _base._to_utc: times,
    _base._check_name: names,
    _base._json_value: None,
    _base._check_sha256: st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    backend._check_host: hosts,
    backend._check_agent_url: st.builds("http://{}:8189/x".format, label),
    backend._check_path_prefix: st.lists(label).map("/".join),
    backend._lower: None,
    workflow._not_nan: None,
    workflow._check_base64: st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode()),
    _checks.check_url: urls,
    _checks.check_file_name: label.map("{}.safetensors".format),
    _checks.check_relative_folder: paths,
    _checks.check_commit: st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    _checks.check_env_names: st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), label, max_size=3
    ),
    deployment._from_json_text: None,
    job._own_copy: None,
    deployment._check_email: st.builds("{}@{}".format, label, label),
    deployment._check_ip: st.ip_addresses().map(str),
    deployment._check_version: st.sampled_from([">=1.0", "==2.0,<3", "1:2.3~rc1+b2"]),
    deployment._check_metadata: metadata,
    deployment._check_settings: custom_settings,
}


def of_annotation(annotation, metadata=()):
    """A strategy for the input of one field: its type, narrowed by what checks it."""
    lower = upper = None
    for item in metadata:
        if isinstance(item, AfterValidator | BeforeValidator):
            if item.func.__qualname__.startswith("url_checker"):
                return urls
            if item.func.__qualname__.startswith("_matching"):
                pattern = inspect.getclosurevars(item.func).nonlocals["pattern"]
                return st.from_regex(pattern, fullmatch=True)
            if item.func.__qualname__.startswith("unique_ids"):
                (inner,) = typing.get_args(annotation)
                return st.lists(of_annotation(inner), max_size=2, unique_by=lambda item: item.id)
            found = BY_VALIDATOR[item.func]
            if found is not None:
                return found
            if item.func is _base._json_value:
                return (
                    json_values
                    if annotation is typing.Any
                    else st.dictionaries(text, json_values, max_size=3)
                )
        elif hasattr(item, "metadata") and not isinstance(item, type):
            metadata = (*metadata, *item.metadata)
    for item in metadata:
        if isinstance(item, annotated_types.Ge):
            lower = item.ge
        elif isinstance(item, annotated_types.Gt):
            lower = item.gt + 1e-3
        elif isinstance(item, annotated_types.Le):
            upper = item.le
    return of_type(annotation, lower, upper)


def of_type(annotation, lower, upper):
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return of_annotation(args[0], args[1:])
    if origin in {typing.Union, types.UnionType}:
        return st.one_of(*(of_type(arg, lower, upper) for arg in args))
    if origin is list:
        return st.lists(of_annotation(args[0]), max_size=2)
    if origin is tuple:
        return st.tuples(*map(of_annotation, args))
    if origin is typing.Literal:
        return st.sampled_from(args)
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(lower, upper) | st.just(2**64 if upper is None else upper)
    if annotation is float:
        return st.floats(lower, upper, allow_nan=False, allow_infinity=False)
    if annotation is str:
        return text.filter(bool)
    if issubclass(annotation, enum.Enum):
        return st.sampled_from(annotation)
    assert issubclass(annotation, BaseModel), annotation
    return of_model(annotation)


@st.composite
def package_values(draw):
    kind = draw(st.sampled_from(models.PackageType))
    return {"packageType": kind, "name": draw(st.sampled_from(["git", "libgl1", "python3.11-dev"]))}


@st.composite
def auth_values(draw):
    kind = draw(st.sampled_from(models.AuthKind))
    return {
        "kind": kind,
        "username": "ada" if kind is models.AuthKind.BASIC else None,
        "header": "X-Api-Key" if kind is models.AuthKind.HEADER else None,
        "env": draw(st.none() | st.just("GPU1_SECRET")),
    }


@st.composite
def limit_values(draw):
    ends = sorted(draw(st.tuples(integers, integers | st.floats(allow_nan=False))))
    return {"min_value": ends[0], "max_value": ends[1]}


@st.composite
def requirement_values(draw):
    url = draw(st.none() | urls)
    return {"url": url, "version": "2.9.1+cu128" if url is None else None}


@st.composite
def locked_node_values(draw):
    kind = draw(st.sampled_from(["git", "copy", "unzip"]))
    if kind == "git":
        return {"kind": kind, "repository": draw(urls), "commit": "0123456789" * 4}
    return {"kind": kind, "files": [draw(of_model(models.LockedFile))]}


@st.composite
def lock_values(draw):
    nodes = st.lists(
        of_model(models.LockedNode), max_size=2, unique_by=lambda node: node.folder.lower()
    )
    files = st.lists(
        of_model(models.LockedModel), max_size=2, unique_by=lambda model: model.path.lower()
    )
    names = st.sampled_from(["A", "LD_PRELOAD", "PYTHONPATH"])
    environment = draw(st.dictionaries(names, st.sampled_from(["", "x y", "it's \n"])))
    return {
        "nodes": draw(nodes),
        "models": draw(files),
        "environment": environment,
        "allowed_variables": sorted(draw(st.sets(names)) & environment.keys()),
    }


TOGETHER = {
    models.Lock: lock_values(),
    models.LockedNode: locked_node_values(),
    models.LockedRequirement: requirement_values(),
    models.SystemPackage: package_values(),
    models.AuthConfig: auth_values(),
    models.ParamConstraints: limit_values(),
}
"""Fields that depend on one another."""


def of_model(model):
    together = TOGETHER.get(model, st.just({}))

    @st.composite
    def build(draw):
        values = draw(together)
        for name, field in model.model_fields.items():
            if name in values or not (field.is_required() or draw(st.booleans())):
                continue
            values[name] = draw(of_annotation(field.annotation, field.metadata))
        return model(**values)

    return build()


def same(left, right):
    """Equal with the same types, where a NaN equals a NaN and a tuple is no list."""
    if isinstance(left, BaseModel):
        return type(left) is type(right) and same(vars(left), vars(right))
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    return left == right


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_json_gives_back_what_went_in(model, data):
    made = data.draw(of_model(model))
    assert same(model.model_validate_json(made.model_dump_json()), made)
    assert same(model.model_validate(json.loads(json.dumps(made.model_dump(mode="json")))), made)
    assert same(model.model_validate(made.model_dump()), made)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_json_schema_names_every_field(model):
    for mode in ("validation", "serialization"):
        schema = model.model_json_schema(mode=mode)
        assert set(schema["properties"]) == set(model.model_fields)
        assert schema["description"]
        json.dumps(schema)


def test_there_are_as_many_models_as_the_package_names():
    assert len(MODELS) >= 30
    assert {model.__name__ for model in MODELS} < set(models.__all__)


# ---- the awkward values, one by one ----------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        5e-324,
        2**64 - 1,
        -(2**63),
        10**40,
        "\0 \u2028 😀 </script>",
        {"": {"a": [[], {}, None, True]}},
    ],
    ids=repr,
)
def test_awkward_values_survive_in_free_fields(value):
    node = models.NodeExecution(
        id="n", job_id="j", canvas_node_id="c", input_data={"value": value}, output_data={}
    )
    back = models.NodeExecution.model_validate_json(node.model_dump_json())
    assert same(back.input_data, {"value": value})
    assert (
        math.copysign(1, back.input_data["value"]) == math.copysign(1, value)
        if (isinstance(value, float) and not math.isnan(value))
        else True
    )
    assert back.output_data == {}


def test_free_fields_take_what_people_have_and_keep_a_copy_of_plain_json():
    np = pytest.importorskip("numpy")
    from pathlib import PurePosixPath

    given_values = {
        "seed": np.int64(3),
        "cfg": np.float64(1.5),
        "half": np.float32(0.5),
        "flag": np.bool_(True),
        "size": (512, 768),
        "file": PurePosixPath("in/a.png"),
        "kind": models.DataType.IMAGE,
        "list": [1],
    }
    job = models.Job(
        id="j", project_id="p", canvas_snapshot=models.CanvasLayout(), parameter_values=given_values
    )
    plain = {
        "seed": 3,
        "cfg": 1.5,
        "half": 0.5,
        "flag": True,
        "size": [512, 768],
        "file": "in/a.png",
        "kind": "image",
        "list": [1],
    }
    assert same(job.parameter_values, plain)
    given_values["list"].append(2)
    assert job.parameter_values["list"] == [1]


def test_the_largest_seed_stays_exact_as_a_limit():
    limits = models.ParamConstraints(min_value=0, max_value=2**64 - 1, step=1)
    back = models.ParamConstraints.model_validate_json(limits.model_dump_json())
    assert back.max_value == 18446744073709551615
    assert isinstance(back.max_value, int)
    assert type(models.ParamConstraints(max_value=1.0).max_value) is float


def test_choices_keep_their_types():
    limits = models.ParamConstraints(choices=["1", 1, 1.0, True, "a"])
    back = models.ParamConstraints.model_validate_json(limits.model_dump_json())
    assert same(back.choices, ["1", 1, 1.0, True, "a"])


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        (
            datetime(2026, 11, 1, 12, 0),  # noqa: DTZ001 - naive means UTC
            datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
        ),
        (
            datetime(2026, 11, 1, 12, 0, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
        ),
        ("2026-11-01T12:00:00.123456+02:00", datetime(2026, 11, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-01T12:00:00Z", datetime(2026, 11, 1, 12, 0, tzinfo=UTC)),
        ("2026-11-01 12:00:00", datetime(2026, 11, 1, 12, 0, tzinfo=UTC)),
    ],
)
def test_times_are_utc(given_time, expected):
    project_ = models.Project(id="p", name="p", created_at=given_time)
    assert project_.created_at == expected
    assert project_.created_at.tzinfo is UTC
    assert json.loads(project_.model_dump_json())["created_at"].endswith("Z")
    assert models.Project.model_validate_json(project_.model_dump_json()) == project_


def test_a_job_keeps_the_canvas_as_it_was():
    node = models.CanvasNode(id="a", node_type="workflow", position=(1, 2), config={"x": [1]})
    layout = models.CanvasLayout(nodes=[node])
    job = models.Job(id="j", project_id="p", canvas_snapshot=layout)
    node.position = (5, 5)
    layout.nodes[0].config["x"].append(2)
    layout.nodes.clear()
    assert job.canvas_snapshot.nodes[0].position == (1.0, 2.0)
    assert job.canvas_snapshot.nodes[0].config == {"x": [1]}


def test_json_as_text_is_taken_where_the_builder_keeps_it_so():
    node = models.CustomNode.model_validate(
        {"name": "n", "githubUrl": "https://example.org/n", "tags": '["a", "b"]', "jsFiles": "[]"}
    )
    assert (node.tags, node.jsFiles) == (["a", "b"], [])
    made = models.Deployment.model_validate(
        {"name": "d", "userId": "u", "environmentVars": '{"A": "1"}', "customSettings": "{}"}
    )
    assert (made.environmentVars, made.customSettings) == ({"A": "1"}, {})


def test_content_has_one_hash_however_its_keys_are_ordered():
    one = models.content_sha256({"a": 1, "b": [1, 2]}, "x")
    assert one == models.content_sha256({"b": (1, 2), "a": 1}, "x")
    assert one != models.content_sha256({"a": 1, "b": [2, 1]}, "x")
    assert models.content_sha256([1], [2]) != models.content_sha256([1, 2])
    assert models.content_sha256({"a": math.nan}) == models.content_sha256({"a": math.nan})


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("githubUrl", "github_url"),
        ("id", "id"),
        ("canvas_snapshot", "canvas_snapshot"),
        ("lastLoginAt", "last_login_at"),
        ("sha256", "sha256"),
    ],
)
def test_columns_are_snake_case(field, column):
    assert models.column_name(field) == column
    assert models.column_name(column) == column


def test_foreign_keys_point_to_tables_and_columns_that_exist():
    stored = {m.table_name: m for m in MODELS if issubclass(m, models.StoredModel)}
    assert len(stored) == len([m for m in MODELS if issubclass(m, models.StoredModel)])
    for model in stored.values():
        assert set(model.primary_key) <= set(model.model_fields)
        assert len(set(model.columns().values())) == len(model.model_fields)
        for field, key in model.foreign_keys.items():
            assert field in model.model_fields
            assert key.column in stored[key.table].columns().values()


def test_terminal_states():
    going_on = {"pending", "running", "paused"}
    assert {s.value for s in models.JobStatus if not s.is_terminal} == going_on
    going_on = {"sending", "queued", "running"}
    assert {s.value for s in models.PromptStatus if not s.is_terminal} == going_on
