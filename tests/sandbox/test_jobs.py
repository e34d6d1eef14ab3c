"""The jobs view: one answer that tells running, pending, ended and unknown apart."""

import uuid

import pytest


async def start(client, graphs):
    """Leave one prompt running, one pending, one completed and one failed."""
    ids = {name: str(uuid.uuid4()) for name in ("completed", "failed", "in_progress", "pending")}
    workflow = {"extra_pnginfo": {"workflow": {"id": "wf-1"}}}
    await client.run(graphs.picture(), prompt_id=ids["completed"], extra_data=workflow)
    failing = graphs.picture(2)
    failing["1"] = {
        "class_type": "LabFail",
        "inputs": {"image": ["3", 0], "key": "jobs", "times": 1, "kind": "error"},
    }
    failing["3"] = graphs.picture()["1"]
    await client.run(failing, prompt_id=ids["failed"])
    await client.submit(graphs.sampling(1000, seconds=0.02), prompt_id=ids["in_progress"])
    await client.until(lambda frames: frames[-1]["data"].get("max") == 1000)
    await client.submit(graphs.picture(3), prompt_id=ids["pending"])
    return ids


async def test_each_state_is_told(client, graphs):
    ids = await start(client, graphs)
    for status, prompt_id in ids.items():
        job = await client.get(f"/api/jobs/{prompt_id}")
        assert (job["id"], job["status"]) == (prompt_id, status)
    completed = await client.get(f"/api/jobs/{ids['completed']}")
    assert completed["outputs_count"] == 1
    assert completed["preview_output"]["nodeId"] == "2"
    assert completed["preview_output"]["mediaType"] == "images"
    assert completed["workflow_id"] == "wf-1"
    assert completed["workflow"]["prompt"] == graphs.picture()
    assert completed["execution_status"]["completed"]
    assert completed["create_time"] <= completed["execution_start_time"]
    failed = await client.get(f"/api/jobs/{ids['failed']}")
    assert failed["execution_error"]["node_type"] == "LabFail"
    status, answer = await client.request("GET", "/api/jobs/unknown")
    assert (status, answer) == (404, {"error": "Job not found"})
    assert (await client.request("POST", f"/api/jobs/{ids['pending']}/cancel"))[0] == 405


async def test_lists_filter_sort_and_page(client, graphs):
    ids = await start(client, graphs)
    listed = await client.get("/api/jobs")
    assert [job["id"] for job in listed["jobs"]] == list(reversed(ids.values()))
    assert listed["pagination"] == {"offset": 0, "limit": None, "total": 4, "has_more": False}
    page = await client.get("/api/jobs?limit=2&offset=1&sort_order=asc")
    assert [job["id"] for job in page["jobs"]] == [ids["failed"], ids["in_progress"]]
    assert page["pagination"]["has_more"]
    queued = await client.get("/api/jobs?status=pending,%20in_progress&sort_order=asc")
    assert [job["status"] for job in queued["jobs"]] == ["in_progress", "pending"]
    of_workflow = await client.get("/api/jobs?workflow_id=wf-1")
    assert [job["id"] for job in of_workflow["jobs"]] == [ids["completed"]]
    by_duration = await client.get("/api/jobs?sort_by=execution_duration")
    assert by_duration["pagination"]["total"] == 4


@pytest.mark.parametrize(
    "query", ["status=done", "sort_by=x", "sort_order=x", "limit=0", "limit=x", "offset=x"]
)
async def test_bad_queries_are_named(client, query):
    status, answer = await client.request("GET", f"/api/jobs?{query}")
    assert status == 400
    assert answer["error"]


async def test_newer_servers_cancel_jobs(serve, connect, graphs):
    client = await connect(await serve(job_cancel=True))
    ids = await start(client, graphs)

    async def cancel(prompt_id):
        return await client.request("POST", f"/api/jobs/{prompt_id}/cancel")

    assert await cancel(ids["pending"]) == (200, {"cancelled": True})
    assert await cancel(ids["pending"]) == (200, {"cancelled": False})
    assert await cancel(ids["completed"]) == (200, {"cancelled": False})
    for body, expected in (
        ({"job_ids": "x"}, 400),
        ({"job_ids": ["no uuid"]}, 400),
        ([], 400),
        ({"job_ids": []}, 200),
        ({"job_ids": [ids["in_progress"], ids["completed"]]}, 200),
    ):
        status, answer = await client.request("POST", "/api/jobs/cancel", json=body)
        assert status == expected
    assert answer == {"cancelled": True}
    await client.done(ids["in_progress"])
    assert client.seen("execution_interrupted")


async def test_the_older_version_has_no_jobs(serve, connect, graphs):
    client = await connect(await serve(version="0.3.64"))
    await client.run(graphs.picture())
    assert (await client.request("GET", "/api/jobs"))[0] == 404
    assert (await client.request("GET", "/api/jobs/x"))[0] == 404
