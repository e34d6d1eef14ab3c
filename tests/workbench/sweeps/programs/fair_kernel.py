"""A kernel that sweeps beside another one on the same servers.

fair_kernel.py STORE FIRST POINTS URL...    says "ready", begins when it is told to, prints a report
"""

import json
import sys

from comfynb import Workbench

PROMPT = {
    "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
    "2": {
        "class_type": "LabSampler",
        "inputs": {
            "model": ["1", 0],
            "seed": 0,
            "steps": 2,
            "seconds_per_step": 0.1,
            "text": "",
            "width": 32,
            "height": 32,
        },
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "fair"}},
}


def main():
    store, first, points, *urls = sys.argv[1:]
    with Workbench(store) as workbench:
        for url in urls:
            if url not in [backend.url for backend in workbench.backends]:
                workbench.backends.add(url)
        workbench.check_backends().wait()
        workflow = workbench.workflows.load(PROMPT, name=f"fair {first}")
        seeds = range(int(first), int(first) + int(points))
        sweep = workbench.sweep(workflow, {"seed": seeds})
        sweep.pause()  # both are made before either goes on
        print("ready", flush=True)
        sys.stdin.readline()
        sweep.resume()
        sweep.wait()
        rows = workbench.sql(
            "select p.prompt_id from points join prompts p on p.job_id = points.job_id "
            "where points.sweep_id = $1 and p.state = 'completed'",
            [sweep.id],
        )
        report = {
            "counts": sweep.counts,
            "linked": sum(point.linked for point in sweep),
            "prompts": [row[0] for row in rows.rows],
            "problems": workbench.problems,
        }
        print(json.dumps(report), flush=True)


main()
