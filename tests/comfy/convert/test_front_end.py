"""The rules one by one: small workflows of our own, and the prompts the front-end made of them.

``front_end_cases.json`` holds workflows written for these tests on node classes that exist nowhere
else (widget types and their saved places, bypasses, primitives, promotions of both generations,
group nodes, damaged links, and random graphs), each with the prompt that the official front-end of
the version named in it made when it loaded the workflow.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from comfynb.comfy.compare import match_prompts
from comfynb.comfy.convert import convert
from comfynb.comfy.object_info import ObjectInfo

DATA = json.loads((Path(__file__).parent / "front_end_cases.json").read_text())
INFO = ObjectInfo(DATA["object_info"])
CASES: dict[str, dict[str, Any]] = DATA["cases"]


@pytest.mark.parametrize("name", CASES)
def test_the_prompt_is_what_the_front_end_sends(name: str) -> None:
    case = CASES[name]
    prompt = convert(case["workflow"], INFO).prompt
    names = match_prompts(prompt, case["api"], INFO)
    assert names is not None, json.dumps({"ours": prompt, "theirs": case["api"]}, indent=1)
    for node_id, theirs in names.items():
        twins = [n for n, node in case["api"].items() if node == case["api"][theirs]]
        assert len(twins) > 1 or prompt[node_id]["_meta"]["title"] == case["api"][theirs]["title"]


def test_there_are_enough() -> None:
    assert len(CASES) > 230
