"""Choices left open in a prompt are found, and made by a recorded seed."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.convert.text import is_random, resolve_dynamic_prompt
from comfynb.comfy.dynamic_prompts import (
    DynamicTexts,
    file_names,
    fill_date,
    is_dated,
    open_choices,
    resolve_at,
    resolve_dynamic_prompts,
)

INFO: dict[str, Any] = {
    "Text": {
        "input": {
            "required": {
                "text": ["STRING", {"dynamicPrompts": True}],
                "plain": ["STRING", {"multiline": True}],
            }
        },
        "output": ["STRING"],
    }
}


def text(value: Any, plain: str = "{a|b}") -> dict[str, Any]:
    return {"class_type": "Text", "inputs": {"text": value, "plain": plain}}


PROMPT = {
    "1": text("a {red|green|blue} {cat|dog}"),
    "2": text("a {red|green|blue} {cat|dog}"),
    "3": text(["1", 0]),
    "4": text("nothing open"),
    "5": {"class_type": "Unknown", "inputs": {"text": "{a|b}"}},
}


def test_only_declared_texts_count() -> None:
    assert open_choices(PROMPT, INFO) == [("1", "text"), ("2", "text")]


def test_a_seed_settles_everything_and_changes_nothing_else() -> None:
    before = copy.deepcopy(PROMPT)
    resolved = resolve_dynamic_prompts(PROMPT, INFO, 7)
    assert before == PROMPT
    assert open_choices(resolved, INFO) == []
    assert {key: node for key, node in resolved.items() if key not in "12"} == {
        key: node for key, node in PROMPT.items() if key not in "12"
    }
    assert resolved == resolve_dynamic_prompts(PROMPT, INFO, 7)


def test_equal_texts_in_different_nodes_are_drawn_apart() -> None:
    pairs = set()
    for seed in range(60):
        resolved = resolve_dynamic_prompts(PROMPT, INFO, seed)
        pairs.add((resolved["1"]["inputs"]["text"], resolved["2"]["inputs"]["text"]))
    assert len({first for first, _ in pairs}) == 6
    assert any(first != second for first, second in pairs)


def test_another_text_does_not_change_what_this_one_becomes() -> None:
    other = {**PROMPT, "2": text("{x|y|z}")}
    first = resolve_dynamic_prompts(PROMPT, INFO, 3)["1"]
    assert resolve_dynamic_prompts(other, INFO, 3)["1"] == first


def test_only_the_places_that_are_named_are_resolved() -> None:
    resolved = resolve_at(PROMPT, [("1", "text"), ("3", "text")], 7)
    assert resolved["1"] == resolve_dynamic_prompts(PROMPT, INFO, 7)["1"]
    assert {key: resolved[key] for key in "2345"} == {key: PROMPT[key] for key in "2345"}


def test_the_same_seed_gives_the_same_text_in_every_release() -> None:
    sent = [resolve_at(PROMPT, [("1", "text")], seed)["1"]["inputs"]["text"] for seed in range(4)]
    assert sent == ["a green dog", "a red dog", "a red dog", "a red dog"]


def test_every_text_that_a_prompt_can_become() -> None:
    texts = DynamicTexts("a {red|{light|dark} blue} {cat|dog} /* why */")
    assert list(texts) == [
        "a red cat ",
        "a red dog ",
        "a light blue cat ",
        "a light blue dog ",
        "a dark blue cat ",
        "a dark blue dog ",
    ]
    assert texts[-1] == texts[5]
    assert texts[1:3] == ["a red dog ", "a light blue cat "]
    assert texts.groups == [["red", "{light|dark} blue"], ["cat", "dog"]]
    assert repr(texts).startswith("<6 texts: 'a red cat '")
    with pytest.raises(IndexError, match="6 texts"):
        texts[6]


def test_a_billion_texts_cost_nothing() -> None:
    texts = DynamicTexts("{0|1|2|3|4|5|6|7|8|9}" * 30)
    assert texts.total == 10**30
    assert texts[123456789] == "123456789".zfill(30)


def test_escapes_stay_until_the_text_is_sent() -> None:
    (text,) = DynamicTexts(r"\{a|b\}")
    assert text == r"\{a|b\}"
    assert resolve_dynamic_prompt(text, 0) == "{a|b}"


@given(st.text(alphabet="ab{|}", max_size=16), st.integers(0, 2**32))
def test_what_is_drawn_is_one_of_the_texts(text: str, seed: int) -> None:
    texts = DynamicTexts(text)
    if texts.total <= 200:
        every = list(texts)
        assert len(every) == texts.total
        assert not any(is_random(one) for one in every)
        assert resolve_dynamic_prompt(text, seed) in {
            resolve_dynamic_prompt(one, 0) for one in every
        }


def test_dates_mean_the_moment_of_sending() -> None:
    moment = datetime(2026, 3, 7, 9, 5, 2, tzinfo=UTC)
    assert fill_date("%date:yyyy-MM-dd%/%date:hhmmss%_x", moment) == "2026-03-07/090502_x"
    assert fill_date("%date:d.M.yy h:m:s yyy%", moment) == "7.3.26 9:5:2 yyy"
    assert fill_date("%date% %width% 100%", moment) == "%date% %width% 100%"
    assert is_dated("a%date:yy%")
    assert not is_dated("%date%")
    assert not is_dated(["1", 0])


def test_dates_count_in_the_file_names_of_saving_nodes() -> None:
    prompt = {"1": {"class_type": "SaveImage", "inputs": {}}, "2": {"class_type": "Text"}, "3": 4}
    assert file_names(prompt) == [("1", "filename_prefix")]
