"""How long finding out what every official template needs takes, beside reading it as JSON.

Both are timed in one run on the same texts, best of several, in CPU time so that other programs on
the machine do not count. Prints what of all templates resolves against the own catalogue and what
templates say about ComfyUI's own classes, and with ComfyUI-Manager's lists where a folder with them
is named. Exits with 1 if a workflow takes more
than twenty times as long as its ``json.loads``.

    python benchmarks/resolve.py [folder of ComfyUI-Manager's lists]
"""

import asyncio
import importlib.util
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from comfynb.deploy.catalogue import CORE, Catalogue, NodeEntry, repository
from comfynb.deploy.resolve import (
    Needs,
    Resolution,
    core_classes_of,
    look_up,
    needs_of,
    resolve_needs,
)
from comfynb.store import open_store

LIMIT = 20


def templates() -> dict[str, str]:
    """The text of every official template, by name."""
    spec = importlib.util.find_spec("comfyui_workflow_templates_json")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("The package comfyui-workflow-templates-json is not installed.")
    found = {}
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*.json")):
        text = path.read_text("utf-8")
        data = json.loads(text)
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            found[path.stem] = text
    return found


def best(work: Callable[[], Any], times: int = 3) -> float:
    """The least CPU time of several runs, in seconds."""
    least = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least


def entries(folder: Path) -> Iterable[NodeEntry]:
    """Packs and their classes, from ComfyUI-Manager's map."""
    lines = json.loads((folder / "extension-node-map.json").read_bytes())
    for url, (classes, about) in lines.items():
        try:
            place = repository(url)
        except ValueError:
            continue
        name = about.get("title_aux") or place.key
        core = place.key == "github.com/comfyanonymous/comfyui"
        yield NodeEntry(
            name,
            place.url,
            (place.key,),
            name=name,
            nodeClasses=classes,
            installType=CORE if core else None,
            nodenamePattern=about.get("nodename_pattern"),
            preempts=about.get("preemptions"),
        )


async def resolved(
    needs: list[Needs], path: Path, lists: Path | None
) -> tuple[list[Resolution], float]:
    """Resolve all of them; also gives the CPU time without filling the catalogue, in seconds."""
    store = open_store(path)
    catalogue = Catalogue(store)
    await catalogue.seed()
    if lists is not None:
        await catalogue.upsert_nodes(list(entries(lists)), source="comfyui-manager")
    start = time.process_time()
    knowledge = await look_up(catalogue, *needs)
    core = core_classes_of(need for one in needs for need in one.classes)
    found = [resolve_needs(one, knowledge, core=core) for one in needs]
    spent = time.process_time() - start
    await store.close()
    return found, spent


def main() -> int:
    texts = templates()
    parsed = [json.loads(text) for text in texts.values()]
    reading = best(lambda: [json.loads(text) for text in texts.values()])
    needing = best(lambda: [needs_of(workflow) for workflow in parsed])
    ratio = needing / reading
    print(
        f"{len(texts)} workflows: json.loads {1e3 * reading / len(texts):.2f} ms each, "
        f"needs_of {1e3 * needing / len(texts):.2f} ms each, {ratio:.1f} times as long"
    )
    needs = [needs_of(workflow) for workflow in parsed]
    lists = [None, *(Path(argument) for argument in sys.argv[1:2])]
    for folder in lists:
        with tempfile.TemporaryDirectory() as place:
            found, spent = asyncio.run(resolved(needs, Path(place) / "lab.duckdb", folder))
        counts: Counter[str] = Counter()
        for one in found:
            counts.update(one.counts())
        complete = sum(one.complete for one in found)
        print(
            f"{'with the lists in ' + folder.name if folder else 'own catalogue'}: "
            f"{len(found)} workflows, {complete} wholly resolved, all within {spent:.2f} s of CPU "
            f"time; " + ", ".join(f"{counts[key]} {key}" for key in sorted(counts))
        )
    return ratio > LIMIT


if __name__ == "__main__":
    sys.exit(main())
