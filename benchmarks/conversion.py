"""How long converting the largest official template takes, beside reading it with json.loads.

Both are timed in one run on the same text, best of several, in CPU time so that other programs on
the machine do not count. ``first`` includes parsing the node classes that the template uses, which
happens once for each ``ObjectInfo``. Exits with 1 if converting takes more than ten times as long.

    python benchmarks/conversion.py [object_info.json]
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfynb.comfy.convert import convert
from comfynb.comfy.object_info import ObjectInfo

LIMIT = 10
SHARED = Path(os.environ.get("COMFYNB_SHARED", Path(__file__).parents[2] / "shared"))


def largest_template() -> tuple[str, str, int]:
    """The name, the text and the node count of the official template with most nodes."""
    spec = importlib.util.find_spec("comfyui_workflow_templates_json")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("The package comfyui-workflow-templates-json is not installed.")
    found: list[tuple[int, str, str]] = []
    for path in Path(spec.submodule_search_locations[0]).rglob("*.json"):
        text = path.read_text()
        data = json.loads(text)
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            subgraphs = (data.get("definitions") or {}).get("subgraphs", [])
            count = sum(len(graph["nodes"]) for graph in (data, *subgraphs))
            found.append((count, path.stem, text))
    count, name, text = max(found)
    return name, text, count


def best(work: Callable[[], Any], times: int) -> float:
    """The least CPU time of several runs, in seconds."""
    least = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least


def main() -> int:
    given = sys.argv[1:]
    default = sorted((SHARED / "comfyui" / "conversion").glob("*/object_info.json"))
    if not given and not default:
        sys.exit(f"No object_info.json in {SHARED}: name one.")
    raw = json.loads(Path(given[0] if given else default[-1]).read_text())
    name, text, count = largest_template()
    workflow = json.loads(text)
    info = ObjectInfo(raw)
    reading = best(lambda: json.loads(text), 30)
    first = best(lambda: convert(workflow, ObjectInfo(raw)), 10)
    again = best(lambda: convert(workflow, info), 30)
    print(f"{name}: {count} nodes, {len(text):,} characters")
    print(f"json.loads       {reading * 1000:8.2f} ms")
    print(f"convert, first   {first * 1000:8.2f} ms  {first / reading:5.1f} x")
    print(f"convert          {again * 1000:8.2f} ms  {again / reading:5.1f} x  (limit {LIMIT} x)")
    return int(first / reading > LIMIT or again / reading > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
