"""Bringing a lock up to date: what is newer is taken, and every change has its reason."""

from typing import Any

from comfynb.deploy.lock import LockOptions, lock_maker, update_lock
from comfynb.deploy.net import Fetcher


async def update(world: Any, former: Any, **what: Any) -> Any:
    options = LockOptions(git=world.forge.git, uv=world.uv, sources=world.sources)
    async with Fetcher() as fetcher:
        return await update_lock(
            former, world.contents, world.catalogue, fetcher, options=options, **what
        )


async def test_an_update_says_why(world: Any) -> None:
    world.pack("Alpha", "numpy<2\n")
    world.pack("Beta")
    former = (await world.lock()).lock
    after = world.forge.commit("Alpha/Alpha", {"requirements.txt": "numpy\nmid-lib\n"})
    world.forge.commit("comfyanonymous/ComfyUI", {"requirements.txt": "numpy\n"}, "v0.4.0")
    found = await update(world, former)
    lines = {change.name: str(change) for change in found.changes.changes}
    assert lines["ComfyUI"].endswith("(a newer release)")
    assert lines["Alpha"].endswith(f"-> {after[:12]} (its branch has moved on)")
    assert lines["mid-lib"] == "+ requirement mid-lib: 1.0 (wanted by Alpha)"
    assert lines["numpy"].startswith("~ requirement numpy: 1.26.4 -> 2.0.2 (wanted otherwise by")
    assert lines["pillow"] == "- requirement pillow: 11.0.0 (no longer wanted by ComfyUI)"
    assert "Beta" not in lines
    assert str(found).startswith("~ ComfyUI")


async def test_nothing_newer_changes_nothing(world: Any) -> None:
    world.pack("Alpha", "numpy\n")
    former = (await world.lock()).lock
    found = await update(world, former)
    assert not found.changes
    assert found.lock == former
    assert str(found).startswith("Nothing has changed.")


async def test_only_what_is_named_is_renewed(world: Any) -> None:
    world.pack("Alpha")
    world.pack("Beta")
    former = (await world.lock()).lock
    for name in ("Alpha", "Beta"):
        world.forge.commit(f"{name}/{name}", {"x": "2"})
    found = await update(world, former, what={"Beta"})
    assert [change.name for change in found.changes.changes] == ["Beta"]


async def test_newer_parts_that_do_not_fit_are_named(world: Any) -> None:
    world.pack("Alpha", "numpy<2\n")
    world.pack("Beta", "numpy\n")
    former = (await world.lock()).lock
    world.forge.commit("Beta/Beta", {"requirements.txt": "numpy>=2\n"})
    found = await update(world, former)
    assert not found.changes
    assert found.report.blocking[0].parties == ("Alpha", "Beta")


async def test_a_service_gets_a_maker(world: Any) -> None:
    world.pack("Alpha")
    first = (await world.lock()).lock
    options = LockOptions(git=world.forge.git, uv=world.uv)
    make = lock_maker(world.catalogue, Fetcher, options)
    report = await make(world.contents, None, False)
    assert report.lock.nodes == first.nodes
    after = world.forge.commit("Alpha/Alpha", {"x": "2"})
    assert (await make(world.contents, first, False)).lock == first
    assert (await make(world.contents, first, {"Alpha"})).lock.nodes[0].commit == after
