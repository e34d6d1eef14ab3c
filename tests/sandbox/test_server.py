"""What the recordings do not show: the rest of the HTTP and websocket protocol."""

import asyncio
import json

import pytest


async def test_every_route_is_also_there_under_api(client, graphs):
    prompt_id = await client.submit(graphs.picture())
    await client.done(prompt_id)
    for path in ("/prompt", "/queue", f"/history/{prompt_id}", "/features", "/models", "/users"):
        assert await client.get("/api" + path) == await client.get(path)
    status, answer = await client.request(
        "POST", "/api/prompt", json={"prompt": graphs.picture(2), "client_id": client.client_id}
    )
    assert status == 200
    await client.done(answer["prompt_id"])
    assert (await client.request("GET", "/jobs"))[0] == 404


async def test_equal_prompt_ids_are_queued_twice(client, graphs):
    for colour in (1, 2):
        await client.submit(graphs.picture(colour), prompt_id="same")
    await client.until(lambda frames: sum(f["type"] == "execution_success" for f in frames) == 2)
    assert list(await client.get("/history")) == ["same"]


async def test_equal_numbers_and_ids_fail_with_500_but_are_queued(client, graphs):
    blocker = await client.submit(graphs.sampling(500, seconds=0.02))
    await client.until(lambda frames: any(f["type"] == "progress" for f in frames))
    twin = {"prompt": graphs.picture(), "prompt_id": "twin", "number": 7}
    assert (await client.request("POST", "/prompt", json=twin))[0] == 200
    assert (await client.request("POST", "/prompt", json=twin))[0] == 500
    queue = await client.get("/queue")
    assert [item[1] for item in queue["queue_pending"]] == ["twin", "twin"]
    await client.request("POST", "/interrupt", json={})
    await client.done(blocker)
    await client.until(
        lambda frames: (
            frames[-1]["type"] == "status"
            and frames[-1]["data"]["status"]["exec_info"]["queue_remaining"] == 0
        )
    )


async def test_a_missing_prompt_id_is_minted_and_null_is_a_string(client, graphs):
    assert len(await client.submit(graphs.picture())) == 36
    assert await client.submit(graphs.picture(), prompt_id=None) == "None"


async def test_newer_servers_want_canonical_prompt_ids(serve, connect, graphs):
    client = await connect(await serve(strict_prompt_ids=True))
    body = {"prompt": graphs.picture(), "prompt_id": "0BADC0DE-0000-4000-8000-000000000000"}
    status, answer = await client.request("POST", "/prompt", json=body)
    assert (status, answer["error"]["type"]) == (400, "invalid_prompt_id")
    body["prompt_id"] = body["prompt_id"].lower()
    assert (await client.request("POST", "/prompt", json=body))[0] == 200


async def test_fronts_go_first_and_last_in_first_out(client, graphs):
    running = await client.submit(graphs.sampling(500, seconds=0.02))
    await client.until(lambda frames: any(f["type"] == "progress" for f in frames))
    ids = [await client.submit(graphs.picture(n)) for n in range(2)]
    fronts = [await client.submit(graphs.picture(n), front=True) for n in range(2, 4)]
    own = await client.submit(graphs.picture(9), number=-0.5)
    await client.request("POST", "/interrupt", json={"prompt_id": running})
    await client.done(ids[1])
    started = [data["prompt_id"] for data in client.seen("execution_start")]
    assert started == [running, fronts[1], fronts[0], own, *ids]


@pytest.mark.parametrize("body", ["{not json", "[1", json.dumps({"prompt": 3}), "3"])
async def test_what_is_no_prompt_at_all_gets_500(client, body):
    assert (await client.request("POST", "/prompt", data=body))[0] == 500


@pytest.mark.parametrize("body", ["[]", '"x"', "{}"])
async def test_what_has_no_keys_asks_for_nothing(client, body):
    status, answer = await client.request("POST", "/prompt", data=body)
    assert (status, answer["error"]["type"]) == (400, "no_prompt")
    for path in ("/queue", "/history"):
        assert (await client.request("POST", path, data=body))[0] == 200


async def test_client_less_prompts_broadcast_progress_but_no_node(client, graphs):
    body = {"prompt": graphs.sampling(2)}
    _, answer = await client.request("POST", "/prompt", json=body)
    await client.until(
        lambda frames: (
            frames[-1]["type"] == "status"
            and any(f["type"] == "progress_state" for f in frames)
            and frames[-1]["data"]["status"]["exec_info"]["queue_remaining"] == 0
        )
    )
    assert {frame["type"] for frame in client.frames} == {"status", "progress_state", "progress"}
    history = await client.get("/history")
    assert history[answer["prompt_id"]]["status"]["completed"]
    assert history[answer["prompt_id"]]["outputs"]["3"]["images"]


async def test_events_go_only_to_the_client_that_asked(server, client, connect, graphs):
    other = await connect(server)
    await client.run(graphs.picture())
    await client.run(graphs.sampling())
    assert {frame["type"] for frame in other.frames} == {"status"}


async def test_a_late_closing_socket_makes_its_successor_deaf(server, connect, graphs):
    first = await connect(server, "twice")
    second = await connect(server, "twice")
    watcher = await connect(server)
    await first.close()
    before = len(second.frames)
    # one that the server still talks to tells that everything has been sent
    await watcher.run(graphs.picture())
    assert len(second.frames) == before
    assert not second.ws.closed


async def test_close_before_reopen_keeps_the_client_in_touch(server, connect, graphs):
    first = await connect(server, "again")
    await first.close()
    async with asyncio.timeout(30):
        while "again" in server.sockets.connected():  # noqa: ASYNC110
            await asyncio.sleep(0)
    second = await connect(server, "again")
    await second.run(graphs.picture())
    assert second.seen("execution_success")


async def test_feature_flags_count_only_in_the_first_message(server, client):
    await client.ws.send_json({"type": "hello"})
    await client.ws.send_str("no json at all")
    await client.ws.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": 1}})
    await client.ws.ping()
    await client.run(
        {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 1, "height": 1, "batch_size": 1, "color": 0},
            },
            "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
        }
    )
    assert not client.seen("feature_flags")
    assert [message[:8] for message in client.binary] == [b"\0\0\0\1\0\0\0\2"]


async def test_free_memory_empties_the_cache(client, graphs):
    await client.run(graphs.picture())
    await client.request("POST", "/free", json={"unload_models": True})
    await client.run(graphs.picture())
    assert client.seen("execution_cached")[-1]["nodes"] == ["1", "2"]
    await client.request("POST", "/free", json={"free_memory": True})
    # The worker frees between two prompts: before the next one, or after it if that was quicker.
    await client.run(graphs.picture())
    await client.run(graphs.picture())
    assert [] in [seen["nodes"] for seen in client.seen("execution_cached")[-2:]]


async def test_history_pages(client, graphs):
    ids = [await client.submit(graphs.picture(n)) for n in range(5)]
    await client.done(ids[-1])
    assert list(await client.get("/history")) == ids
    assert list(await client.get("/history?max_items=2")) == ids[-2:]
    assert list(await client.get("/history?max_items=9")) == ids
    assert list(await client.get("/history?max_items=2&offset=1")) == ids[1:3]
    assert list(await client.get("/history?offset=3")) == ids[3:]
    assert list(await client.get("/history?max_items=0")) == []
    assert (await client.request("GET", "/history?max_items=x"))[0] == 500
    await client.request("POST", "/history", json={"clear": True})
    assert await client.get("/history") == {}


async def test_history_forgets_the_oldest(serve, connect, graphs):
    client = await connect(await serve(max_history=2))
    ids = [await client.submit(graphs.picture(n)) for n in range(5)]
    await client.done(ids[-1])
    assert list(await client.get("/history")) == ids[-3:]


async def test_deleting_the_only_pending_prompt_tells_twice(client, graphs):
    running = await client.submit(graphs.sampling(500, seconds=0.02))
    await client.until(lambda frames: any(f["type"] == "progress" for f in frames))
    pending = await client.submit(graphs.picture())
    status, body = await client.request("POST", "/queue", json={"delete": ["nobody", pending]})
    assert (status, body) == (200, b"")
    await client.request("POST", "/interrupt", json={})
    await client.done(running)
    sizes = [data["status"]["exec_info"]["queue_remaining"] for data in client.seen("status")]
    assert sizes == [0, 1, 1, 2, 1, 1, 0]
    assert pending not in await client.get("/history")


async def test_a_foreign_origin_is_refused_on_loopback(client):
    for origin, expected in (
        (client.url, 200),
        ("http://evil.example", 403),
        ("http://127.0.0.1:1", 403),
        ("http://127.0.0.1", 200),
    ):
        assert (await client.request("GET", "/prompt", headers={"Origin": origin}))[0] == expected


async def test_system_stats_show_the_simulated_gpu(serve, connect):
    client = await connect(await serve(vram_total=24 * 1024**3, gpu_name="Test 4090"))
    stats = await client.get("/system_stats")
    device = stats["devices"][0]
    assert (device["type"], device["index"], device["vram_total"]) == ("cuda", 0, 24 * 1024**3)
    assert "Test 4090" in device["name"]
    assert "--cpu" not in stats["system"]["argv"]


async def test_servers_may_lack_models_and_classes(serve, connect, graphs):
    client = await connect(
        await serve(
            choices={"LabLoader.name": ["xl.safetensors"]},
            without=frozenset({"ImageBlur"}),
            samples=True,
        )
    )
    info = await client.get("/object_info")
    assert info["LabLoader"]["input"]["required"]["name"][0] == ["xl.safetensors"]
    assert "ImageBlur" not in info
    assert await client.get("/models/checkpoints") == ["xl.safetensors"]
    status, answer = await client.request("POST", "/prompt", json={"prompt": graphs.sampling()})
    assert status == 400
    assert answer["node_errors"]["1"]["errors"][0]["type"] == "value_not_in_list"


async def test_object_info_orders_inputs(client):
    info = await client.get("/object_info")
    assert len(info) >= 30
    for name, node in info.items():
        assert node["name"] == name
        assert set(node["input_order"]) == set(node["input"])
        for category, fields in node["input"].items():
            assert node["input_order"][category] == list(fields)
        assert len(node["output"]) == len(node["output_name"]) == len(node["output_is_list"])
    assert await client.get("/object_info/SaveImage") == {"SaveImage": info["SaveImage"]}


async def test_subgraphs_exist_only_in_the_newer_version(serve, connect):
    assert await (await connect(await serve(version="0.8.0"))).get("/global_subgraphs") == {}
    client = await connect(await serve(version="0.3.64"))
    assert (await client.request("GET", "/global_subgraphs"))[0] == 404


async def test_the_path_prefix_goes_before_every_path(serve, connect, session, graphs):
    server = await serve(path_prefix="comfy/")
    assert server.url.endswith("/comfy")
    client = await connect(server)
    await client.run(graphs.picture())
    root = server.url.removesuffix("/comfy")
    async with session.get(f"{root}/prompt") as answer:
        assert answer.status == 404
    async with session.get(f"{server.url}/sandbox/stats") as answer:
        assert (await answer.json())["requests"]["POST /prompt"] == 1
