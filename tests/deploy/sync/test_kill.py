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

from .conftest import REPO
from .test_civitai import Civitai
from .test_civitai import file as civitai_file
from .test_civitai import model as civitai_model
from .test_civitai import version as civitai_version
from .test_manager import listed
from .test_manager import model as listed_model
from .test_registry import Registry, pack

POINTS = {
    "manager": ["within:1", "after:1", "before:3", "within:3", "after:6"],
    "registry": ["within:3", "after:3", "within:5"],
    "civitai": ["within:3", "after:4"],
}


async def run(folder: Path, places: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Sync, kill and resume in one program, since starting one costs more than the syncs."""
    jobs = [[kind, place, POINTS[kind]] for kind, place in places.items()]
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "programs" / "killed_sync.py"),
        str(folder),
        json.dumps(jobs),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    try:
        out, _ = await asyncio.wait_for(program.communicate(), 220)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    ends: dict[str, list[dict[str, Any]]] = {kind: [] for kind in places}
    for line in out.splitlines():
        end = json.loads(line)
        ends[end["kind"]].append(end)
    return ends


@pytest.mark.kill
@pytest.mark.timeout(240)
async def test_a_killed_sync_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, lists: Callable[..., Path], service: Any
) -> None:
    urls = [f"https://github.com/ada/p{number}" for number in range(75)]
    place = lists(
        nodes=[*(listed(url, id=url[-4:].strip("/")) for url in urls), "text", listed(urls[3])],
        classes={url: [[f"{url[-4:]} A", "B"], {}] for url in urls},
        stats={url: {"stars": number} for number, url in enumerate(urls)},
        alter=[],
        models=[*(listed_model(f"m{number}.bin") for number in range(30)), {}],
    )
    nodes = [*(pack(number) for number in range(35)), pack(3, name="again"), None]
    # The same pack on two pages, and another one in its repository, and one that comes back.
    nodes.insert(22, pack(4, description="again"))
    nodes.append(pack("fork", repository="https://github.com/ada/pack-7"))
    Registry(service, nodes, [{"node_id": "pack-9", "version": "0.1", "status": "Banned"}])
    models = [
        civitai_model(
            number,
            civitai_version(number * 10, civitai_file(number * 100), civitai_file(number + 10**6)),
        )
        for number in range(1, 45)
    ]
    models.insert(25, civitai_model(2, name="again"))
    Civitai(service, models, limit=10)
    places = {"manager": str(place), "registry": service.base, "civitai": service.base}
    ends = await run(tmp_path, places)
    for kind in places:
        check(tmp_path, kind, ends[kind])


def check(folder: Path, kind: str, ends: list[dict[str, Any]]) -> None:
    assert [end["point"] for end in ends] == ["", *POINTS[kind]]
    whole, *others = [json.loads(end["told"]) for end in ends]
    assert whole["status"] == "COMPLETED"
    wanted = json.loads((folder / f"{kind}-0.json").read_text())
    assert any(wanted.values())
    for number, (end, told) in enumerate(zip(ends[1:], others, strict=True), start=1):
        assert (end["died"], end["code"]) == (-signal.SIGKILL, 0), end
        assert told["resumed"], end
        # Exactly the same entries were counted, none twice and none left out.
        assert {**told, "resumed": False} == whole, end
        assert json.loads((folder / f"{kind}-{number}.json").read_text()) == wanted, end
