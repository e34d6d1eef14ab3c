"""A kernel in a process of its own: submits jobs, or picks up what another one left.

kernel.py STORE submit URL COUNT FIRST_SEED    submits, waits for all, prints a report
kernel.py STORE resume                         picks up, waits for all, prints a report
"""

import json
import sys

from comfynb import Workbench


def prompt():
    return {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["1", 0],
                "seed": 0,
                "steps": 2,
                "seconds_per_step": 0.01,
                "text": "",
                "width": 32,
                "height": 32,
            },
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "kill"},
        },
    }


def report(workbench):
    rows = workbench.sql(
        "select j.id, j.status, "
        "(select list(p.prompt_id || ' ' || p.state order by p.created_at) from prompts p "
        " where p.job_id = j.id) as prompts, "
        "(select count(*) from output_files o join prompts p using (prompt_id) "
        " where p.job_id = j.id) as files "
        "from jobs j order by j.created_at"
    )
    findings = [str(finding) for finding in workbench.store.check().result()]
    return {"jobs": [dict(row) for row in rows], "findings": findings}


def main():
    store, action, *arguments = sys.argv[1:]
    workbench = Workbench(store, resume=False)
    if action == "submit":
        url, count, first = arguments[0], int(arguments[1]), int(arguments[2])
        workbench.backends.add(url)
        workflow = workbench.workflows.load(prompt(), name="kill")
        points = [{"seed": first + n} for n in range(count)]
        # One by one, as a person's loop does, and the rest at once, as a sweep does.
        jobs = []
        for point in points[: count // 4]:
            jobs.append(workflow.run(point))
            print("returned", jobs[-1].id, flush=True)
        jobs += workflow.run_many(points[count // 4 :])
        for job in jobs[count // 4 :]:
            print("returned", job.id, flush=True)
    elif action == "report":
        jobs = []
    else:
        recovered = workbench.resume().wait()
        print(str(recovered), flush=True)
        jobs = workbench.jobs.last(1000)
    for job in jobs:
        job.wait()
    print(json.dumps(report(workbench)), flush=True)
    workbench.close()


main()
