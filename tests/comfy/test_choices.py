"""Several backends' choices are one list that says who lacks what; each gets its own spelling."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.choices import (
    Offer,
    lacking,
    merge_choices,
    offers,
    own_spelling,
    respell,
    with_offers,
)
from comfynb.comfy.parameters import propose_parameters
from comfynb.comfy.values import check_value


def info(*models: object, **more: Any) -> dict[str, Any]:
    return {
        "Load": {"input": {"required": {"model": [list(models), {}]}}, "output": ["MODEL"]},
        "Mode": {
            "input": {
                "required": {
                    "mode": [
                        "COMFY_DYNAMICCOMBO_V3",
                        {
                            "options": [
                                {
                                    "key": "lora",
                                    "inputs": {"required": {"file": [list(models), {}]}},
                                }
                            ]
                        },
                    ]
                }
            },
            "output": ["MODEL"],
        },
        "Save": {"input": {"required": {"m": ["MODEL"]}}, "output": [], "output_node": True},
        **more,
    }


PROMPT: dict[str, Any] = {
    "1": {"class_type": "Load", "inputs": {"model": "sdxl\\base.safetensors"}},
    "2": {"class_type": "Save", "inputs": {"m": ["1", 0]}},
}
LINUX = info("flux.safetensors", "sdxl/base.safetensors")
WINDOWS = info("sdxl\\base.safetensors", "wan.safetensors")


def test_the_first_spelling_stays_and_each_choice_says_who_lacks_it() -> None:
    found = merge_choices({"PC1": ["a/b", "c"], "PC2": ["c", "d", "a\\b"], "PC3": ["c"]})
    assert found == [Offer("a/b", ("PC3",)), Offer("c"), Offer("d", ("PC1", "PC3"))]
    assert lacking(found) == {"a/b": ("PC3",), "d": ("PC1", "PC3")}


def test_numbers_and_texts_are_different_choices() -> None:
    assert [one.value for one in merge_choices({"a": [1, "1", True, 1.0]})] == [1, "1", True, 1.0]
    assert own_spelling(1, [True, 1.0]) is None
    assert own_spelling(True, [1, True]) is True


def test_a_parameter_offers_what_all_have_and_takes_any_spelling() -> None:
    (parameter,) = propose_parameters(PROMPT, LINUX)
    found = offers(PROMPT, [parameter], {"linux": LINUX, "windows": WINDOWS})[parameter.id]
    assert lacking(found) == {"flux.safetensors": ("windows",), "wan.safetensors": ("linux",)}
    merged = with_offers(parameter, found)
    assert merged.constraints is not None
    assert merged.constraints.choices == [
        "flux.safetensors",
        "sdxl/base.safetensors",
        "wan.safetensors",
    ]
    assert merged.default_value == "sdxl/base.safetensors"
    assert check_value(merged, "sdxl\\base.safetensors") == "sdxl/base.safetensors"
    assert with_offers(parameter, []) is parameter


def test_a_backend_without_the_class_or_the_list_is_not_said_to_lack_anything() -> None:
    (parameter,) = propose_parameters(PROMPT, LINUX)
    other = {"Load": {"input": {"required": {"model": ["STRING"]}}, "output": ["MODEL"]}}
    found = offers(PROMPT, [parameter], {"linux": LINUX, "old": other, "empty": {}})
    assert lacking(found[parameter.id]) == {}


def test_every_backend_gets_its_own_spelling() -> None:
    before = copy.deepcopy(PROMPT)
    sent = respell(PROMPT, LINUX)
    assert sent["1"]["inputs"] == {"model": "sdxl/base.safetensors"}
    assert sent["2"] is PROMPT["2"]
    assert before == PROMPT
    assert respell(sent, WINDOWS) == PROMPT


def test_a_choice_within_a_dynamic_combo_is_spelled_too() -> None:
    prompt = {"1": {"class_type": "Mode", "inputs": {"mode": "lora", "mode.file": "x/y.pt"}}}
    sent = respell(prompt, info("x\\y.pt"))
    assert sent["1"]["inputs"]["mode.file"] == "x\\y.pt"


def test_texts_and_what_a_backend_lacks_stay() -> None:
    prompt = {
        "1": {"class_type": "Load", "inputs": {"model": "not/there"}},
        "2": {"class_type": "Unknown", "inputs": {"text": "a/b"}},
        "3": {"class_type": "Load", "inputs": {"model": ["1", 0]}},
        "4": "no node",
    }
    assert respell(prompt, LINUX) == prompt


names = st.lists(st.text(alphabet="ab/\\", max_size=4), max_size=6)


@given(st.dictionaries(st.sampled_from(["PC1", "PC2", "PC3"]), names))
def test_what_a_backend_has_is_offered_once_and_found_again(lists: dict[str, list[str]]) -> None:
    found = merge_choices(lists)
    keys = [str(one.value).replace("\\", "/") for one in found]
    assert len(set(keys)) == len(keys)
    for name, choices in lists.items():
        for choice in choices:
            (offer,) = [one for one in found if own_spelling(choice, [one.value]) is not None]
            assert name not in offer.lacking
        for offer in found:
            has = own_spelling(offer.value, choices) is not None
            assert has is (name not in offer.lacking)
