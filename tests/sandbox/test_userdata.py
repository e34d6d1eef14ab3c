"""A user's files, among them saved workflows, and settings."""

import json

import pytest


async def test_sample_workflows_can_be_imported(serve, connect):
    client = await connect(await serve(samples=True))
    names = await client.get("/userdata?dir=workflows")
    assert "portrait.json" in names
    workflow = await client.get("/userdata/workflows%2Fportrait.json")
    assert json.loads(json.dumps(workflow))["nodes"]


async def test_files_are_written_listed_moved_and_deleted(client):
    status, answer = await client.request("POST", "/userdata/workflows%2Fa%20b.json", data=b"{}")
    assert (status, answer) == (200, "workflows/a b.json")
    await client.request("POST", "/userdata/workflows%2Fsub%2Fc.json", data=b"[1]")
    assert await client.get("/userdata?dir=workflows") == ["a b.json"]
    assert await client.get("/userdata?dir=workflows&recurse=true") == ["a b.json", "sub/c.json"]
    split = await client.get("/userdata?dir=workflows&recurse=true&split=true")
    assert split[1] == ["sub/c.json", "sub", "c.json"]
    [info] = await client.get("/userdata?dir=workflows&full_info=true")
    assert (info["path"], info["size"]) == ("a b.json", 2)
    listed = await client.get("/v2/userdata?path=workflows")
    assert [(e["name"], e["type"]) for e in listed] == [
        ("sub", "directory"),
        ("a b.json", "file"),
        ("c.json", "file"),
    ]
    path = "/userdata/workflows%2Fa%20b.json"
    assert (await client.request("POST", f"{path}?overwrite=false", data=b""))[0] == 409
    status, moved = await client.request("POST", f"{path}/move/new%2Fd.json?full_info=true")
    assert (status, moved["path"]) == (200, "new/d.json")
    assert (await client.request("GET", path))[0] == 404
    assert (await client.request("DELETE", "/userdata/new%2Fd.json"))[0] == 204
    assert (await client.request("DELETE", "/userdata/new%2Fd.json"))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/userdata", 400),
        ("GET", "/userdata?dir=../..", 403),
        ("GET", "/userdata?dir=nothing", 404),
        ("GET", "/userdata/..%2F..%2Finput%2Fx", 403),
        ("GET", "/userdata/%252e%252e%252fx", 403),
        ("POST", "/userdata/..%2Fx", 403),
        ("DELETE", "/userdata/..%2Fx", 403),
        ("POST", "/userdata/none/move/x", 404),
        ("GET", "/v2/userdata?path=..", 400),
        ("GET", "/v2/userdata?path=none", 404),
    ],
)
async def test_refusals(client, method, path, expected):
    assert (await client.request(method, path, data=b"x"))[0] == expected


async def test_a_folder_is_no_file_to_get(client):
    assert (await client.request("POST", "/userdata/folder%2Fx.json", data=b"{}"))[0] == 200
    assert (await client.request("GET", "/userdata/folder"))[0] == 403


async def test_settings(client):
    assert await client.get("/settings") == {}
    await client.request("POST", "/settings", json={"a": 1, "b": 2})
    await client.request("POST", "/settings/b", json="two")
    assert await client.get("/settings") == {"a": 1, "b": "two"}
    assert await client.get("/settings/b") == "two"
    assert await client.get("/settings/c") is None
    assert (await client.get("/users"))["storage"] == "server"
