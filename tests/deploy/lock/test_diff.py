"""What differs between two locks, and why: each change in a line."""

import json
import random
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.deploy.lock import (
    diff_locks,
    explain_changes,
    lock_sha256,
    lock_text,
    read_lock,
)
from comfynb.deploy.lock.text import ordered
from comfynb.errors import DeploymentError
from comfynb.models import Lock
from comfynb.models.lock import (
    LockedComfyUI,
    LockedModel,
    LockedNode,
    LockedPackage,
    LockedPython,
    LockedRequirement,
)

A, B = "a" * 40, "b" * 40


def node(name: str, commit: str = A, **fields: Any) -> LockedNode:
    url = f"https://github.com/x/{name}"
    return LockedNode(name=name, folder=name, repository=url, commit=commit, **fields)


def model(name: str, **fields: Any) -> LockedModel:
    url = f"https://huggingface.co/x/y/resolve/{A}/{quote(name)}"
    return LockedModel(name=name, filename=name, folder="models/loras", **{"url": url, **fields})


def pin(name: str, version: str, *via: str) -> LockedRequirement:
    return LockedRequirement(name=name, version=version, via=list(via))


def lock(**fields: Any) -> Lock:
    requirements = fields.pop("requirements", [])
    comfyui = fields.pop("comfyui", ("0.3.64", A))
    return Lock(
        name="Portraits",
        comfyui=LockedComfyUI(version=comfyui[0], commit=comfyui[1]),
        python=LockedPython(requirements=requirements),
        **fields,
    )


def test_every_kind_of_change_has_a_line() -> None:
    old = lock(
        nodes=[node("gone"), node("moved", version="v1")],
        models=[model("m.pt", size=2**30, sha256="1" * 64), model("same.pt")],
        requirements=[pin("numpy", "1.0"), pin("old", "1.0"), pin("still", "1", "x")],
        packages=[LockedPackage(name="git")],
        environment={"KEEP": "1", "CHANGE": "private-1", "DROP": "x"},
    )
    new = lock(
        comfyui=("0.4.0", B),
        nodes=[node("moved", B, version="v2"), node("new")],
        models=[model("m.pt", size=2**30, sha256="2" * 64), model("same.pt")],
        requirements=[pin("numpy", "2.0"), pin("fresh", "1.0"), pin("still", "1", "y")],
        packages=[LockedPackage(name="git", version="2")],
        environment={"KEEP": "1", "CHANGE": "private-2", "ADD": "y"},
        workspace="/workspace",
    )
    diff = diff_locks(old, new)
    assert str(diff).splitlines() == [
        f"~ ComfyUI: 0.3.64 ({A[:12]}) -> 0.4.0 ({B[:12]})",
        f"- node gone: {A[:12]}",
        f"~ node moved: v1 ({A[:12]}) -> v2 ({B[:12]})",
        f"+ node new: {A[:12]}",
        f"~ model models/loras/m.pt: 1.00 GiB, {'1' * 12} -> 1.00 GiB, {'2' * 12}",
        "+ requirement fresh: 1.0",
        "~ requirement numpy: 1.0 -> 2.0",
        "- requirement old: 1.0",
        "~ package git: any version -> 2",
        "+ environment ADD: set",
        "~ environment CHANGE: a value -> another value",
        "- environment DROP: set",
        "~ workspace: none -> /workspace",
    ]
    assert "private" not in str(diff)


def test_what_no_line_shows_is_shown_all_the_same() -> None:
    diff = diff_locks(lock(nodes=[node("x")]), lock(nodes=[node("x", install_script=True)]))
    assert str(diff) == (
        f"~ node x: {A[:12]} (install_script False) -> {A[:12]} (install_script True)"
    )


def test_each_change_has_its_reason() -> None:
    old = lock(
        nodes=[node("gone"), node("released", version="v1"), node("branch")],
        models=[model("changed.pt", sha256="1" * 64), model("hash.pt"), model("gone.pt")],
        requirements=[
            pin("lower", "2.0", "branch"),
            pin("newer", "1.0", "ComfyUI"),
            pin("dropped", "1.0", "gone"),
            pin("wanted", "1.0", "released"),
        ],
    )
    new = lock(
        comfyui=("0.4.0", B),
        nodes=[node("released", B, version="v2"), node("branch", B), node("new")],
        models=[
            model("changed.pt", sha256="2" * 64),
            model("hash.pt", sha256="3" * 64),
            model("new.pt"),
        ],
        requirements=[
            pin("lower", "1.0", "branch"),
            pin("newer", "2.0", "numpy"),
            pin("added", "1.0", "new"),
            pin("wanted", "1.5", "released"),
        ],
    )
    reasons = {c.name: c.reason for c in explain_changes(old, new, True).changes}
    assert reasons == {
        "ComfyUI": "a newer release",
        "gone": "no longer in the deployment",
        "released": "release v2 instead of v1",
        "branch": "its branch has moved on",
        "new": "added to the deployment",
        "models/loras/changed.pt": "the file has changed at its source",
        "models/loras/hash.pt": "its hash is known now",
        "models/loras/gone.pt": "no longer in the deployment",
        "models/loras/new.pt": "added to the deployment",
        "added": "wanted by new",
        "dropped": "no longer wanted by gone",
        "lower": "an older release, to suit branch",
        "newer": "wanted otherwise by numpy",
        "wanted": "wanted otherwise by released",
    }
    assert all(reasons.values())


_NAMES = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12
)
_SAFE = st.text("abcdefgXYZ0189._ ", min_size=1, max_size=12).filter(
    lambda t: t.strip() not in {"", ".", ".."}
)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    folders = draw(st.lists(_SAFE, unique_by=str.lower, max_size=3))
    files = draw(st.lists(_SAFE, unique_by=str.lower, max_size=3))
    pins = draw(st.lists(st.sampled_from(["numpy", "pillow", "torch", "x-y", "z9"]), unique=True))
    return Lock(
        name=draw(_NAMES),
        comfyui=LockedComfyUI(version="0.3.64", commit=A),
        python=LockedPython(requirements=[pin(name, "1.0", "x") for name in pins]),
        nodes=[
            LockedNode(
                name=draw(_NAMES), folder=folder, repository="https://github.com/x/y", commit=B
            )
            for folder in folders
        ],
        models=[model(name) for name in files],
        environment=draw(st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), _NAMES)),
    )


@settings(max_examples=40)
@given(locks(), st.randoms(use_true_random=False))
def test_the_order_of_the_parts_does_not_count(made: Lock, dice: random.Random) -> None:
    def shuffled(items: list[Any]) -> list[Any]:
        return dice.sample(items, len(items))

    python = made.python.model_copy(update={"requirements": shuffled(made.python.requirements)})
    other = made.model_copy(
        update={
            "python": python,
            "nodes": shuffled(made.nodes),
            "models": shuffled(made.models),
            "environment": dict(shuffled(list(made.environment.items()))),
        }
    )
    assert lock_text(other) == lock_text(made)
    assert lock_sha256(other) == lock_sha256(made)
    assert not diff_locks(made, other)
    assert read_lock(lock_text(made)) == ordered(made)
    assert read_lock(lock_text(made).encode()) == ordered(made)


@settings(max_examples=40)
@given(locks(), locks())
def test_locks_with_the_same_hash_are_the_same_and_no_others(one: Lock, other: Lock) -> None:
    same = lock_sha256(one) == lock_sha256(other)
    assert same is not bool(diff_locks(one, other))
    there, back = diff_locks(one, other), diff_locks(other, one)
    assert len(there) == len(back)
    assert all(change.reason for change in explain_changes(one, other).changes)


def test_when_it_was_made_does_not_count() -> None:
    one, other = (lock(created_at=datetime(year, 1, 1, tzinfo=UTC)) for year in (2025, 2026))
    assert lock_sha256(one) == lock_sha256(other)
    assert lock_text(one) != lock_text(other)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"format": 2}', '{"format": 1}', "[" * 100_000,
        json.dumps({"format": 1, "name": "x", "comfyui": {"version": "1", "commit": "$(x)"}}),
    ],
)  # fmt: skip
def test_what_is_no_lock_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(DeploymentError, match=r"lock") as refused:
        read_lock(text)
    assert "\n" not in str(refused.value)
