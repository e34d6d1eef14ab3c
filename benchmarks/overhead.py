"""How much comfynb costs: 400 small prompts through it, beside the best bare loop.

Both send the same prompts to the same server and fetch the same files; see ``bare.py``. Both run in
turn several times; what counts is the median of the ratios.

    python benchmarks/overhead.py [--prompts 400] [--rounds 5]

Against a sandbox of its own, or the server named in COMFYNB_TEST_URL.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from bare import bare, prompt

from comfynb import Workbench
from comfynb.sandbox import Sandbox


async def ours(url: str, count: int, first_color: int, store: Path) -> float:
    """The same through a Workbench: every prompt a job in the store, every file recorded."""
    async with Workbench(store) as workbench:
        workbench.backends.add(url)
        workflow = workbench.workflows.load(prompt(0, uuid.uuid4().hex), name="overhead")
        workflow.expose("1.color", name="color")
        await workbench.check_backends()
        start = time.perf_counter()
        jobs = workflow.run_many([{"color": first_color + n} for n in range(count)])
        await jobs
        elapsed = time.perf_counter() - start
        assert all(len(job.files.paths) == 1 for job in jobs), [job for job in jobs if job.error]
        (stored,) = workbench.sql(
            "select count(*) as jobs, (select count(*) from output_files) as files "
            "from jobs where status = 'completed'"
        )
        assert stored == {"jobs": count, "files": count}, stored
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with contextlib.ExitStack() as cleanup:
        url = os.environ.get("COMFYNB_TEST_URL")
        if not url:
            url = cleanup.enter_context(Sandbox()).url
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        color = int(time.time()) % 5_000_000
        ratios = []
        print(f"{options.prompts} prompts on {url}")
        for number in range(options.rounds):
            files = folder / f"bare-{number}"
            theirs = asyncio.run(bare([url], options.prompts, color, files))
            color += options.prompts
            mine = asyncio.run(ours(url, options.prompts, color, folder / f"{number}.duckdb"))
            color += options.prompts
            ratios.append(mine / theirs)
            print(f"  bare {theirs:.2f} s   comfynb {mine:.2f} s   ratio {ratios[-1]:.2f}")
        print(f"median ratio {statistics.median(ratios):.2f} (at most 1.20 wanted)")


if __name__ == "__main__":
    main()
