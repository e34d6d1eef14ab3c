"""The README's Python, run as it is written, against a sandbox instead of the servers it names."""

import ast
import inspect
import re

import pytest
from PIL import Image

from comfynb.sandbox import workflow_text

pytestmark = pytest.mark.timeout(300)


def test_every_block_of_the_readme_runs(repo, tmp_path, sandbox):
    text = (repo / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    for name in ("portrait", "retouch"):
        (tmp_path / f"{name}.json").write_text(workflow_text(name))
    for name in ("a.png", "b.png"):
        Image.new("RGB", (640, 48), "teal").save(tmp_path / name)
    names = {}
    try:
        for block in blocks:
            # A picture that the first block made carries the workflow that the second one loads.
            local = re.sub(
                r"https://gpu1:8188(/view\?filename=)\w+", r"URL\1portrait_00001_", block
            )
            local = local.replace("URL/view", f"{sandbox.url}/view")
            local = local.replace("http://gpu1:8188", sandbox.url)
            # In a script there is nothing to await with; the README says what to write instead.
            local = re.sub(r"^await (\w+)", r"\1.wait()", local, flags=re.MULTILINE)
            code = compile(local, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            assert not code.co_flags & inspect.CO_COROUTINE
            exec(code, names)
        for value in list(names.values()):
            if hasattr(value, "raise_for_status"):
                value.wait(60).raise_for_status()
    finally:
        if "wb" in names:
            names["wb"].close()
