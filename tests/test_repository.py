"""What holds for every file: names exported, docstrings, and nothing of anybody's machine."""

import ast
import importlib
import inspect
import re
import subprocess
from pathlib import Path

import pytest

import comfynb
from comfynb import errors

SOURCE = Path(comfynb.__file__).parent
FILES = {
    ".".join(["comfynb", *path.relative_to(SOURCE).with_suffix("").parts]): path
    for path in sorted(SOURCE.rglob("*.py"))
    if "_notebooks" not in path.parts and path.name != "__main__.py"
}
PACKAGES = sorted(name.removesuffix(".__init__") for name in FILES if name.endswith(".__init__"))
MODULES = sorted(name.removesuffix(".__init__") for name in FILES)


def export_order(name):
    """Constants, classes, the rest: the order that ruff keeps too."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_exist_in_order(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", ())
    assert list(exported) == sorted(set(exported), key=export_order)
    assert [one for one in exported if not hasattr(module, one)] == []
    assert [one for one in exported if re.match(r"_(?!_)", one)] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_whatever_it_only_imports(name):
    """What a package takes from its own modules and does not use itself is there for others."""
    package = importlib.import_module(name)
    tree = ast.parse(inspect.getsource(package))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("comfynb")
        for alias in node.names
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported - used <= set(getattr(package, "__all__", ()))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_in_one_sentence_what_it_is(name):
    docstring = importlib.import_module(name).__doc__
    assert docstring, f"{name} has no docstring"
    first = " ".join(docstring.strip().split("\n\n")[0].split())
    assert first.endswith((".", ":")), first
    # e.g. and i.e. end no sentence
    assert not re.search(r"(?<!e\.g)(?<!i\.e)[.!?] [A-Z]", first), first


@pytest.fixture(scope="module")
def committed(repo):
    """The text of every file that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    texts = {}
    for name in filter(None, listed.split("\0")):
        path = repo / name
        if path.is_file() and not path.is_symlink():
            texts[name] = path.read_bytes().decode("utf-8", "replace")
    assert len(texts) > 20
    return texts


# Written so that this file does not hold what it looks for.
FOREIGN = {
    "a path of somebody's machine": (
        r"(?<![\w.~-])/(?:wor[k]/(?:main|shared)\b|roo[t]/\.)|(?<!\w)\.librar[y]\b"
    ),
    "a package registry's host": (
        r"\b(?:pyp[i]\.org|pythonhoste[d]\.org|registry\.npmj[s]\.|deb\.debia[n]\.org)"
    ),
    "an issue of our own by number": r"\b[Ii]ssu[e] #?\d",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names(committed, what):
    found = [
        f"{name}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]!r}"
        for name, text in committed.items()
        for hit in re.finditer(FOREIGN[what], text)
    ]
    assert found == []


def test_the_search_for_foreign_words_finds_them():
    place = "/" + "work/main"
    assert re.search(FOREIGN["a path of somebody's machine"], f"see {place} there")
    assert not re.search(FOREIGN["a path of somebody's machine"], "comfynb/work/x and ../work/x")
    assert re.search(FOREIGN["a package registry's host"], "https://pyp" + "i.org/simple")
    assert re.search(FOREIGN["an issue of our own by number"], "see iss" + "ue 2")


def test_the_tree_in_the_docstring_of_errors_is_the_real_one():
    lines = re.findall(r"^    ([│├└─ ]*)(\w+)(?: .*)?$", errors.__doc__, re.MULTILINE)
    told, above = {}, []
    for branch, name in lines:
        depth = len(branch) // 4
        told[name] = above[depth - 1] if depth else None
        above[depth:] = [name]
    real = {}
    for name, cls in vars(errors).items():
        if (
            inspect.isclass(cls)
            and issubclass(cls, Exception)
            and cls.__module__ == errors.__name__
        ):
            ours = [base for base in cls.__bases__ if base.__module__ == errors.__name__]
            assert len(ours) <= 1
            real[name] = ours[0].__name__ if ours else None
    assert told == real
    assert set(real) == set(errors.__all__)
