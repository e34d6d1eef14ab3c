"""docs/graph.md: each rule has its test, each test its rule, and the pictures are as drawn."""

import ast
import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
ROW = re.compile(r"^\| [^|]+ \| ([^|]+) \| `(\w+)` \|$", re.MULTILINE)


def test_each_rule_has_exactly_one_test():
    rows = ROW.findall((DOCS / "graph.md").read_text("utf-8"))
    named = Counter(name for _, name in rows)
    tree = ast.parse(Path(__file__).with_name("test_semantics.py").read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tests = Counter(
        node.name.removeprefix("test_")
        for node in tree.body
        if isinstance(node, functions) and node.name.startswith("test_")
    )
    assert named == tests
    assert set(named.values()) == {1}
    assert len({rule for rule, _ in rows}) == len(rows) > 40


def test_pictures_are_as_the_script_draws_them():
    script = DOCS / "images" / "graph" / "draw.py"
    spec = importlib.util.spec_from_file_location("draw_graph_pictures", script)
    drawing = importlib.util.module_from_spec(spec)

    sys.modules[spec.name] = drawing
    try:
        spec.loader.exec_module(drawing)
        for name, draw in drawing.PICTURES.items():
            assert script.with_name(f"{name}.svg").read_text("utf-8") == draw()
    finally:
        del sys.modules[spec.name]
    text = (DOCS / "graph.md").read_text("utf-8")
    assert set(re.findall(r"\(images/graph/(\w+)\.svg\)", text)) == drawing.PICTURES.keys()
