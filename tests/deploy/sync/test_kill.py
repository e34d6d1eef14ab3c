"""kill -9 of a real process in the midst of a sync: the next one goes on, and ends the same."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfynb.store import open_store

from .conftest import REPO, TABLES
from .test_civitai import Civitai
from .test_civitai import file as civitai_file
from .test_civitai import model as civitai_model
from .test_civitai import version as civitai_version
from .test_manager import listed
from .test_manager import model as listed_model
from .test_registry import Registry, pack

_TIMES = {"createdAt", "updatedAt"}


def content(path: Path) -> dict[str, list[str]]:
    """All that a store's catalogue says, without ids and times of its own."""
    store = open_store(path)
    try:
        names: dict[str, str] = {}
        found = {}
        for model in TABLES:
            said = []
            for row in store.find(model).result(60):
                values = row.model_dump(mode="json", exclude=_TIMES)
                own = values.pop("id", None)
                if own is not None:
                    names[own] = values.get("githubUrl") or values.get("downloadUrl") or ""
                for link in ("customNodeId", "modelId"):
                    if link in values:
                        values[link] = names[values[link]]
                for holder in (values, values.get("metadata", {})):
                    if "sources" in holder:
                        holder["sources"] = sorted(holder["sources"])
                said.append(json.dumps(values, sort_keys=True))
            found[model.table_name] = sorted(said)
        return found
    finally:
        store.close().result(30)


async def killed(folder: Path, place: object, kind: str, points: list[str]) -> None:
    """Kill and resume at each point; everything must be as if nothing had happened."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "programs" / "killed_sync.py"),
        *map(str, (folder, place, kind, *points)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    try:
        out, _ = await asyncio.wait_for(program.communicate(), 100)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    ends = [json.loads(line) for line in out.splitlines()]
    assert [end["point"] for end in ends] == ["", *points]
    whole, *others = [json.loads(end["told"]) for end in ends]
    assert whole["status"] == "COMPLETED"
    wanted = await asyncio.to_thread(content, folder / f"{kind}-0.duckdb")
    assert any(wanted.values())
    for number, (end, told) in enumerate(zip(ends[1:], others, strict=True), start=1):
        assert (end["died"], end["code"]) == (-signal.SIGKILL, 0), end
        assert told["resumed"], end
        # Exactly the same entries were counted, none twice and none left out.
        assert {**told, "resumed": False} == whole, end
        found = await asyncio.to_thread(content, folder / f"{kind}-{number}.duckdb")
        assert found == wanted, end


@pytest.mark.kill
async def test_a_killed_sync_of_lists_goes_on(tmp_path: Path, lists: Callable[..., Path]) -> None:
    urls = [f"https://github.com/ada/p{number}" for number in range(150)]
    place = lists(
        nodes=[*(listed(url, id=url[-4:].strip("/")) for url in urls), "text", listed(urls[3])],
        classes={url: [[f"{url[-4:]} A", "B"], {}] for url in urls},
        stats={url: {"stars": number} for number, url in enumerate(urls)},
        alter=[],
        models=[*(listed_model(f"m{number}.bin") for number in range(60)), {}],
    )
    await killed(
        tmp_path, place, "manager", ["within:1", "after:1", "before:3", "within:3", "after:6"]
    )


@pytest.mark.kill
async def test_a_killed_sync_of_the_registry_goes_on(tmp_path: Path, service: Any) -> None:
    nodes = [*(pack(number) for number in range(70)), pack(3, name="again"), None]
    # The same pack on two pages, and another one in its repository, and one that comes back.
    nodes.insert(45, pack(4, description="again"))
    nodes.append(pack("fork", repository="https://github.com/ada/pack-7"))
    Registry(service, nodes, [{"node_id": "pack-9", "version": "0.1", "status": "Banned"}])
    await killed(tmp_path, service.base, "registry", ["within:3", "after:3", "within:5"])


@pytest.mark.kill
async def test_a_killed_sync_of_civitai_goes_on(tmp_path: Path, service: Any) -> None:
    models = [
        civitai_model(
            number,
            civitai_version(number * 10, civitai_file(number * 100), civitai_file(number + 10**6)),
        )
        for number in range(1, 90)
    ]
    models.insert(50, civitai_model(2, name="again"))
    Civitai(service, models, limit=20)
    await killed(tmp_path, service.base, "civitai", ["within:3", "after:4"])
