"""Kernels that work on one sweep and are killed: a process that has imported all forks each.

sweep_kernel.py STORE KILLS SEED POINTS URL...    kills, then lets one end it and prints a report

Starting Python takes far longer than what is to be interrupted, so each kernel is a fork of a
process that has opened nothing yet.
"""

import json
import os
import random
import select
import signal
import sys
import traceback

from comfynb import Workbench
from comfynb.engine.heap import settle_heap

PROMPT = {
    "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
    "2": {
        "class_type": "LabSampler",
        "inputs": {
            "model": ["1", 0],
            "seed": 0,
            "steps": 2,
            "seconds_per_step": 0.02,
            "text": "",
            "width": 32,
            "height": 32,
        },
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "kill"}},
}


def work(store, urls, points, first):
    """What a notebook would do: go on with the sweep if it is there, else begin it."""
    workbench = Workbench(store)
    workbench.resume().wait()
    if workbench.sweeps.find("kill") is None:
        if not len(workbench.backends):
            for url in urls:
                workbench.backends.add(url)
        workflow = workbench.workflows.load(PROMPT, name="kill")
        workbench.sweep(workflow, grid={"seed": range(first, first + points)}, name="kill")
    sweep = workbench.sweeps["kill"].wait()
    return workbench, sweep


def report(workbench, sweep):
    rows = workbench.sql(
        'select points."index", points.job_id, jobs.status, points.linked, '
        "(select list(p.prompt_id || ' ' || p.state order by p.created_at) from prompts p "
        " where p.job_id = points.job_id) as prompts, "
        "(select count(*) from output_files o join prompts p using (prompt_id) "
        " where p.job_id = points.job_id) as files "
        "from points left join jobs on jobs.id = points.job_id order by 1"
    )
    jobs = workbench.sql("select count(*) as n from jobs")[0]["n"]
    return {
        "points": [dict(row) for row in rows],
        "jobs": jobs,
        "status": sweep.status.value,
        "findings": [str(finding) for finding in workbench.store.check().result()],
        "problems": workbench.problems,
    }


def kernel(store, urls, points, first):
    """A fork that works until it is killed; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        workbench, _ = work(store, urls, points, first)
        workbench.close()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - whatever it is, a fork must not go on in the caller
        traceback.print_exc()
        os._exit(70)


def main():
    store, kills, seed, points, *urls = sys.argv[1:]
    # Once for all forks: it takes half of what opening a store takes.
    settle_heap()
    moments = random.Random(int(seed))
    first, killed = int(seed) * 1000, 0
    for _ in range(int(kills)):
        pid = kernel(store, urls, int(points), first)
        watched = os.pidfd_open(pid)
        ended, _, _ = select.select([watched], [], [], moments.uniform(0.02, 0.6))
        os.close(watched)
        if ended:
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0, "a kernel failed by itself"
            break  # all is done already
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        killed += 1
    workbench, sweep = work(store, urls, int(points), first)
    print(json.dumps({**report(workbench, sweep), "killed": killed}), flush=True)
    workbench.close()


main()
