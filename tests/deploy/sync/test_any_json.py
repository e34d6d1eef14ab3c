"""Whatever a service answers: each entry has an end, and nothing but what the models allow."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.deploy.catalogue import ModelEntry, NodeEntry, Outcome
from comfynb.deploy.sync import civitai, huggingface, registry
from comfynb.deploy.sync.manager_models import MODELS, models_of
from comfynb.deploy.sync.manager_nodes import ALTER, LIST, MAP, STATS, packs_of

from .test_civitai import model as civitai_model
from .test_huggingface import repo, sibling
from .test_manager import listed, model
from .test_registry import pack

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def spoilt(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """An entry with some of its values replaced by anything, or anything at all."""
    return ANY | st.dictionaries(st.sampled_from(sorted(good)), ANY, max_size=4).map(
        lambda changes: {**good, **changes}
    )


URLS = st.sampled_from(
    ["https://github.com/ada/pack", "https://github.com/ada/pack.git", "htps://github.com/x/y", "?"]
)


@settings(max_examples=60)
@given(
    st.lists(spoilt(listed()), max_size=4),
    st.dictionaries(URLS | st.text(max_size=9), ANY | st.just([["A"], {}]), max_size=4),
    st.dictionaries(URLS | st.text(max_size=9), ANY | st.just({"stars": 1}), max_size=4),
    st.lists(spoilt({"id": "https://github.com/ada/pack", "tags": "a"}), max_size=3),
    st.lists(spoilt(model()), max_size=4),
)
def test_lists(nodes: Any, classes: Any, stats: Any, alter: Any, models: Any) -> None:
    files = {LIST: {"custom_nodes": nodes}, MAP: classes, STATS: stats, ALTER: {"items": alter}}
    packs, ended, total = packs_of(files)
    assert total == len(nodes) + len(classes) + len(stats) + len(alter)
    assert total == len(packs) + sum(len(one.attached) for one in packs) + len(ended)
    keys = [key for one in packs for key in one.entry.keys]
    assert len(keys) == len(set(keys))
    found, ended, total = models_of({"models": models})
    assert total == len(models) == len(found) + len(ended)
    assert all(part == MODELS and outcome.reason for part, outcome in ended)


@given(st.lists(spoilt(pack(1)), max_size=4))
def test_the_registry(items: list[Any]) -> None:
    seen: dict[str, None] = {}
    for number, item in enumerate(items):
        found = registry._node(f"#{number}", item, seen)
        assert isinstance(found, NodeEntry) or (isinstance(found, Outcome) and found.reason)
        banned = registry._banned_release(f"#{number}", item)
        assert isinstance(banned, NodeEntry) or (isinstance(banned, Outcome) and banned.reason)


@given(st.lists(spoilt(civitai_model(1)), max_size=4))
def test_civitai(items: list[Any]) -> None:
    seen: dict[str, None] = {}
    for number, item in enumerate(items):
        found = civitai._model("https://civitai.com", f"#{number}", item, seen)
        assert isinstance(found, ModelEntry) or (isinstance(found, Outcome) and found.reason)


@given(
    spoilt(civitai_model(1)["modelVersions"][0]),
    spoilt(civitai_model(1)["modelVersions"][0]["files"][0]),
)
def test_versions_and_files_of_civitai(version: Any, file: Any) -> None:
    item = civitai_model(1, version, {**civitai_model(1)["modelVersions"][0], "files": [file]})
    found = civitai._model("https://civitai.com", "x", item, {})
    assert isinstance(found, ModelEntry | Outcome)


@given(spoilt(repo("o/r", sibling("a.safetensors"))), spoilt(sibling("b.ckpt")))
def test_hugging_face(data: Any, file: Any) -> None:
    if not isinstance(data, dict):
        data = {}
    if isinstance(data.get("siblings"), list):
        data = {**data, "siblings": [*data["siblings"], file]}
    entries, ended = huggingface._entries("https://huggingface.co", "o/r", data)
    assert entries or ended
    assert all(outcome.reason for _, outcome in ended)


@pytest.mark.parametrize("metadata", [None, 3, [], {"nextCursor": True}, {"nextPage": "%"}, {}])
def test_no_next_page(metadata: Any) -> None:
    assert civitai._next(metadata) is None
