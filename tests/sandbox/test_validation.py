"""The findings about prompts that the recordings do not hold."""

from typing import ClassVar

import pytest

from comfynb.sandbox.catalogue import Catalogue
from comfynb.sandbox.node import Context, Node
from comfynb.sandbox.validation import types_fit, validate_prompt


class Source(Node):
    NAME = "Source"
    OUTPUTS = (("IMAGE", "IMAGE"), ("MASK", "MASK"))


class Sink(Node):
    NAME = "Sink"
    OUTPUT_NODE = True
    INPUTS: ClassVar = {
        "required": {
            "images": ("IMAGE",),
            "number": ("INT", {"min": 0, "max": 9}),
            "amount": ("FLOAT", {"max": 1.0}),
            "flag": ("BOOLEAN", {}),
            "text": ("STRING", {}),
            "old": (["a", "b", 3],),
            "new": ("COMBO", {"options": [str(n) for n in range(30)]}),
        },
        "optional": {"many": ("COMBO", {"options": ["x", "y"], "multiselect": True})},
        "hidden": {"prompt": "PROMPT"},
    }


class Pass(Node):
    NAME = "Pass"
    INPUTS: ClassVar = {
        "required": {"size": ("INT", {"max": 3})},
        "optional": {"image": ("IMAGE",)},
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)


class Picky(Node):
    NAME = "Picky"
    OUTPUT_NODE = True
    INPUTS: ClassVar = {
        "required": {"name": (["listed"],), "size": ("INT", {"max": 3})},
        "optional": {"source": ("IMAGE",)},
    }

    @classmethod
    def validate(cls, ctx, name, source=None):
        if name == "boom":
            raise RuntimeError("boom")
        return None if name == "free" else f"no {name}"


CATALOGUE = Catalogue({c.NAME: c for c in (Source, Sink, Pass, Picky)}, version="0.8.0")


def sink(**inputs):
    values = {
        "images": ["1", 0],
        "number": 1,
        "amount": 0.5,
        "flag": True,
        "text": "t",
        "old": "a",
        "new": "3",
    }
    return {
        "1": {"class_type": "Source", "inputs": {}},
        "2": {"class_type": "Sink", "inputs": values | inputs},
    }


def judge(prompt, targets=None):
    return validate_prompt(prompt, CATALOGUE, Context({}), targets)


def finding(prompt, node_id="2"):
    verdict = judge(prompt)
    assert verdict.error is not None
    [found] = verdict.node_errors[node_id]["errors"]
    return found


def test_values_are_coerced_in_place():
    prompt = sink(number="7", amount="0.25", flag=0, text=5, old={"__value__": "b"})
    assert judge(prompt).error is None
    inputs = prompt["2"]["inputs"]
    assert [inputs[k] for k in ("number", "amount", "flag", "text", "old")] == [
        7,
        0.25,
        False,
        "5",
        "b",
    ]


@pytest.mark.parametrize(
    ("inputs", "kind", "details"),
    [
        ({"images": ["1"]}, "bad_linked_input", "images"),
        ({"images": ["1", 0, 0]}, "bad_linked_input", "images"),
        (
            {"images": ["1", 1]},
            "return_type_mismatch",
            "images, received_type(MASK) mismatch input_type(IMAGE)",
        ),
        (
            {"number": "x"},
            "invalid_input_type",
            "number, x, invalid literal for int() with base 10: 'x'",
        ),
        ({"number": None}, "invalid_input_type", None),
        (
            {"amount": "x"},
            "invalid_input_type",
            "amount, x, could not convert string to float: 'x'",
        ),
        ({"number": 10}, "value_bigger_than_max", "number"),
        ({"number": -1}, "value_smaller_than_min", "number"),
        ({"amount": 1.5}, "value_bigger_than_max", "amount"),
        ({"old": "c"}, "value_not_in_list", "old: 'c' not in ['a', 'b', 3]"),
        ({"old": "3"}, "value_not_in_list", "old: '3' not in ['a', 'b', 3]"),
        ({"new": "99"}, "value_not_in_list", "new: '99' not in (list of length 30)"),
        ({"many": {"__value__": ["x", "z"]}}, "value_not_in_list", None),
    ],
)
def test_findings(inputs, kind, details):
    found = finding(sink(**inputs))
    assert found["type"] == kind
    assert details is None or found["details"] == details
    assert found["extra_info"]["input_name"] == next(iter(inputs))


def test_the_older_version_leaves_the_newer_schemas_combos_unchecked():
    catalogue = Catalogue({c.NAME: c for c in (Source, Sink)}, version="0.3.64")
    ctx = Context({}, version="0.3.64")
    assert validate_prompt(sink(new="99"), catalogue, ctx).error is None
    assert validate_prompt(sink(old="c"), catalogue, ctx).error is not None


def test_long_lists_are_left_out():
    assert finding(sink(new="99"))["extra_info"]["input_config"] is None
    assert finding(sink(old="c"))["extra_info"]["input_config"] == (["a", "b", 3], {})


@pytest.mark.parametrize("many", ["x", {"__value__": ["x", "y"]}, {"__value__": []}])
def test_what_is_fine(many):
    assert judge(sink(many=many, old=3)).outputs == ["2"]


def test_an_exception_on_the_output_itself_is_its_own_finding():
    for link in (["9", 0], ["1", 7]):
        found = finding(sink(images=link))
        assert found["type"] == "exception_during_validation"
        assert found["extra_info"]["exception_type"] in {"KeyError", "IndexError"}
        assert found["extra_info"]["traceback"]


def test_a_node_without_inputs_is_an_exception_too():
    prompt = sink()
    del prompt["2"]["inputs"]
    assert finding(prompt)["details"] == "'inputs'"


def test_classes_may_take_checks_over():
    def picky(**inputs):
        return {"1": {"class_type": "Picky", "inputs": {"size": 1, **inputs}}}

    assert judge(picky(name="free")).error is None
    found = finding(picky(name="x"), "1")
    assert (found["type"], found["details"]) == ("custom_validation_failed", "name - no x")
    assert finding(picky(name="boom"), "1")["type"] == "exception_during_validation"
    # what it does not name is still checked
    assert finding(picky(name="free", size=9), "1")["type"] == "value_bigger_than_max"
    # a linked input is shown as None, and a finding is repeated for every input shown
    prompt = picky(name="x", source=["2", 0]) | {"2": {"class_type": "Source", "inputs": {}}}
    errors = judge(prompt).node_errors["1"]["errors"]
    assert [error["details"] for error in errors] == ["name - no x", "source - no x"]


def test_one_finding_counts_against_every_output_that_needs_it():
    prompt = sink() | {"3": sink()["2"], "1": {"class_type": "Pass", "inputs": {"size": 9}}}
    verdict = judge(prompt)
    assert verdict.error["type"] == "prompt_outputs_failed_validation"
    assert verdict.node_errors["1"]["dependent_outputs"] == ["2", "3"]
    assert verdict.node_errors["1"]["class_type"] == "Pass"
    assert list(verdict.node_errors) == ["1"]


def test_valid_outputs_go_on_without_the_others():
    verdict = judge(sink() | {"3": sink(number=99)["2"]})
    assert verdict.error is None
    assert verdict.outputs == ["2"]
    assert verdict.node_errors["3"]["dependent_outputs"] == ["3"]


def test_cycles_are_refused_without_a_finding():
    prompt = sink()
    prompt["1"] = {"class_type": "Pass", "inputs": {"size": 1, "image": ["3", 0]}}
    prompt["3"] = {"class_type": "Pass", "inputs": {"size": 1, "image": ["1", 0]}}
    verdict = judge(prompt)
    assert verdict.error["details"] == ""
    assert verdict.node_errors == {}
    prompt["3"]["inputs"]["size"] = 9
    assert list(judge(prompt).node_errors) == ["3"]


def test_targets_choose_outputs():
    prompt = sink() | {"3": sink()["2"]}
    assert judge(prompt, ["3"]).outputs == ["3"]
    assert judge(prompt, ["1"]).error["type"] == "prompt_no_outputs"


@pytest.mark.parametrize("prompt", [3, None, True])
def test_what_is_no_prompt_raises(prompt):
    with pytest.raises(TypeError):
        judge(prompt)


@pytest.mark.parametrize(
    ("received", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("IMAGE", "*", True),
        ("IMAGE", "MASK,IMAGE", True),
        ("A, B", "B ,C", True),
        ("A,B", "C", False),
        (["a"], ["a"], True),
        (["a"], "STRING", False),
    ],
)
def test_types(received, wanted, fits):
    assert types_fit(received, wanted) is fits
