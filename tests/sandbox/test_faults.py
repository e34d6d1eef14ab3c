"""Every fault does what its name says, as often as it was told to, and no more."""

import asyncio

import aiohttp
import pytest

from comfynb.sandbox.faults import FAULT_KINDS, Fault, Faults

pytestmark = pytest.mark.faults


async def switch_on(client, server, kind, **options):
    body = {"kind": kind, **options}
    async with client.session.post(f"{server.control_url}/sandbox/faults", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["faults"][0]


async def switch_off(client, server):
    async with client.session.delete(f"{server.control_url}/sandbox/faults") as answer:
        assert answer.status == 200


async def test_refuse_hits_the_prompt_route_count_times(server, client, graphs):
    await switch_on(client, server, "refuse", status=429, count=2)
    answers = [
        (await client.request("POST", "/prompt", json={"prompt": graphs.picture()}))[0]
        for _ in range(3)
    ]
    assert answers == [429, 429, 200]
    assert server.stats.snapshot()["posts"] == 3
    assert len(server.stats.snapshot()["prompts"]) == 1


async def test_refuse_also_hits_routes_under_api_and_a_prefix(serve, connect):
    server = await serve(path_prefix="/p")
    client = await connect(server)
    await switch_on(client, server, "refuse", path="/view*", method=None, status=502)
    assert (await client.request("GET", "/api/view?filename=x"))[0] == 502
    assert (await client.request("GET", "/prompt"))[0] == 200


async def test_a_lost_answer_means_an_accepted_prompt(server, client, graphs):
    await switch_on(client, server, "lost", count=1)
    body = {"prompt": graphs.picture(), "prompt_id": "kept", "client_id": client.client_id}
    with pytest.raises(aiohttp.ClientError):
        await client.request("POST", "/prompt", json=body)
    await client.done("kept")
    assert (await client.get("/history/kept"))["kept"]["status"]["completed"]


async def test_cut_ends_within_the_body(server, client, graphs):
    entry = await client.run(graphs.picture())
    await switch_on(client, server, "cut", path="/view", count=1, fraction=0.5)
    name = entry["outputs"]["2"]["images"][0]["filename"]
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.get(f"/view?filename={name}")
    whole = await client.get(f"/view?filename={name}")
    assert whole.startswith(b"\x89PNG")
    await switch_on(client, server, "cut", path="/queue", count=1, fraction=0.9)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.get("/queue")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_hang_answers_when_it_is_cleared(server, client, graphs, when):
    await switch_on(client, server, "hang", path="/prompt", method="POST", when=when)
    waiting = asyncio.create_task(client.submit(graphs.picture(), prompt_id="slow"))
    if when == "after":
        await client.done("slow")
    else:
        while not server.stats.snapshot()["posts"]:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not server.stats.snapshot()["prompts"]
    assert not waiting.done()
    await switch_off(client, server)
    assert await waiting == "slow"


async def test_hang_ends_with_its_duration(server, client):
    await switch_on(client, server, "hang", path="/prompt", duration=0.05)
    assert await client.get("/prompt")


async def test_slow_waits_and_slows_nodes_down(server, client, graphs):
    await switch_on(client, server, "slow", path="/prompt", latency=0.05, factor=3)
    started = asyncio.get_running_loop().time()
    await client.get("/prompt")
    assert asyncio.get_running_loop().time() - started >= 0.05
    started = asyncio.get_running_loop().time()
    await client.run(graphs.sampling(2, seconds=0.05))
    assert asyncio.get_running_loop().time() - started >= 3 * 2 * 0.05


async def test_out_of_memory_hits_the_named_classes(server, client, graphs):
    await switch_on(client, server, "oom", node_class="*Sampler", count=1)
    first = await client.run(graphs.sampling())
    assert first["status"]["status_str"] == "error"
    [failure] = client.seen("execution_error")
    assert failure["exception_type"] == "torch.OutOfMemoryError"
    assert failure["node_type"] == "LabSampler"
    assert "ran out of memory" in failure["exception_message"]
    assert (await client.run(graphs.sampling()))["status"]["status_str"] == "success"


async def test_a_stuck_node_ignores_interrupts_until_it_is_cleared(server, client, graphs):
    await switch_on(client, server, "stuck", node_class="SaveImage")
    prompt_id = await client.submit(graphs.picture())
    await client.until(lambda frames: any(f["data"].get("node") == "2" for f in frames))
    await client.request("POST", "/interrupt", json={})
    await client.request("POST", "/interrupt", json={"prompt_id": prompt_id})
    assert len((await client.get("/queue"))["queue_running"]) == 1
    await switch_off(client, server)
    await client.done(prompt_id)


async def test_a_deaf_socket_stays_open_and_says_nothing(server, client, connect, graphs):
    other = await connect(server)
    fault = await switch_on(client, server, "deaf", client_id=client.client_id)
    before = len(client.frames)
    await other.run(graphs.picture())
    assert len(client.frames) == before
    assert not client.ws.closed
    async with client.session.delete(
        f"{server.control_url}/sandbox/faults?id={fault['id']}"
    ) as answer:
        assert answer.status == 200
    await client.run(graphs.picture(2))


async def test_drop_cuts_sockets_without_a_handshake(server, client, connect):
    other = await connect(server)
    await switch_on(client, server, "drop", client_id=client.client_id)
    async with asyncio.timeout(30):
        await client.ended.wait()
    assert client.ws.close_code == 1006
    assert not other.ws.closed
    assert server.faults.snapshot() == []


async def test_dead_resets_until_cleared(server, client, connect):
    await switch_on(client, server, "dead")
    async with asyncio.timeout(30):
        await client.ended.wait()
    with pytest.raises(aiohttp.ClientError):
        await client.request("GET", "/prompt")
    await switch_off(client, server)
    await connect(server)


async def test_dead_may_be_a_matter_of_chance(server, client):
    await switch_on(client, server, "dead", path="/queue", probability=0.5, seed=7)

    async def survives():
        try:
            await client.get("/queue")
        except aiohttp.ClientError:
            return False
        return True

    outcomes = [await survives() for _ in range(20)]
    assert 3 < sum(outcomes) < 17
    assert not client.ws.closed


async def test_dead_with_refuse_closes_the_door(server, client, connect):
    await switch_on(client, server, "dead", mode="refuse")
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.request("GET", "/prompt")
    await switch_off(client, server)
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get("/prompt")
                break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)


async def test_restart_loses_what_a_restart_loses(server, client, connect, graphs):
    saved = await client.run(graphs.picture())
    preview = await client.run(graphs.sampling())
    running = await client.submit(graphs.sampling(500, seconds=0.05, seed=5))
    pending = await client.submit(graphs.picture(2))
    await client.until(lambda frames: frames[-1]["data"].get("max") == 500)
    await switch_on(client, server, "restart")
    async with asyncio.timeout(30):
        await client.ended.wait()
    again = await connect(server, client.client_id)
    assert again.frames[0]["data"]["status"]["exec_info"]["queue_remaining"] == 0
    assert await again.get("/history") == {}
    assert await again.get("/queue") == {"queue_running": [], "queue_pending": []}
    for entry, expected in ((saved["outputs"]["2"], 200), (preview["outputs"]["3"], 404)):
        image = entry["images"][0]
        path = f"/view?filename={image['filename']}&type={image['type']}"
        assert (await again.request("GET", path))[0] == expected
    _, answer = await again.request(
        "POST", "/prompt", json={"prompt": graphs.picture(), "client_id": client.client_id}
    )
    assert answer["number"] == 0
    await again.done(answer["prompt_id"])
    assert again.seen("execution_cached")[-1]["nodes"] == []
    prompts = server.stats.snapshot()["prompts"]
    assert prompts[running]["status"] == prompts[pending]["status"] == "lost"
    assert server.stats.snapshot()["restarts"] == 1


async def test_restart_may_take_a_while(server, client):
    await switch_on(client, server, "restart", down=0.2)
    with pytest.raises(aiohttp.ClientError):
        await client.request("GET", "/prompt")
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get("/prompt")
                break
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)


async def test_restart_answers_over_the_main_port_too(server, client):
    status, _ = await client.request("POST", "/sandbox/faults", json={"kind": "restart"})
    assert status == 200
    assert await client.get("/history") == {}


@pytest.mark.parametrize(
    ("spec", "culprit"),
    [
        ({"kind": "flood"}, "flood"),
        ({}, "None"),
        ({"kind": "slow", "speed": 3}, "speed"),
        ({"kind": "slow", "latency": "long"}, "latency"),
        ({"kind": "slow", "factor": 0}, "factor"),
        ({"kind": "cut", "fraction": 2}, "fraction"),
        ({"kind": "hang", "when": "never"}, "never"),
        ({"kind": "dead", "mode": "gone"}, "gone"),
        ({"kind": "dead", "mode": "refuse", "count": 1}, "count"),
        ({"kind": "oom", "count": 0}, "count"),
        ({"kind": "oom", "id": 3}, "id"),
        ([1], "1"),
        ("slow", "slow"),
    ],
)
async def test_wrong_faults_are_named(client, spec, culprit):
    status, answer = await client.request("POST", "/sandbox/faults", json=spec)
    assert status == 400
    assert culprit in answer["error"]


def test_every_kind_has_its_meaning():
    for kind in FAULT_KINDS:
        assert Fault.parse({"kind": kind}).to_json()["kind"] == kind


def test_the_same_seed_strikes_alike():
    def pattern(seed):
        faults = Faults()
        faults.add(Fault.parse({"kind": "oom", "probability": 0.4, "seed": seed}))
        return [faults.strike("oom", node_class="X") is not None for _ in range(40)]

    assert pattern(3) == pattern(3)
    assert pattern(3) != pattern(4)


def test_what_has_run_out_is_no_longer_listed():
    faults = Faults()
    faults.add(Fault.parse({"kind": "oom", "count": 1}))
    assert faults.strike("oom", node_class="A")
    assert not faults.strike("oom", node_class="A")
    assert faults.snapshot() == []
