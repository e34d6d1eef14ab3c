"""The routes: what they answer, in the form that the OpenAPI document gives, and the stream."""

import asyncio
import itertools
import json
import time

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from comfynb_agent import web as agent_web
from comfynb_agent.fields import GPU, SUMMARY

PATHS = ("metrics.json", "metrics", "metrics/stream", "openapi.json")


async def get_json(session, url):
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        return await answer.json()


@pytest.mark.parametrize("count", [0, 1, 8])
async def test_a_snapshot_has_the_form_that_openapi_says(  # noqa: PLR0917
    serve, session, nvml, tmp_path, jsonschema, count
):
    nvml.set_count(count)
    nvml.add_process(0, 0x3FFFFFF0, 5)
    nvml.refuse("nvmlDeviceGetPowerUsage", 3)
    nvml.refuse("*", 15, gpu=2)
    url = await serve(nvml, folders=(("models", str(tmp_path)), ("output", "/nowhere/at/all")))
    document = await get_json(session, f"{url}/comfynb/openapi.json")
    snapshot = await get_json(session, f"{url}/comfynb/metrics.json")
    assert len(snapshot["gpus"]) == count
    validator = jsonschema.Draft202012Validator(schema_of(document))
    validator.validate(snapshot)
    # the schema is strict: it refuses what it does not name, and another type
    for spoilt in (
        {key: value for key, value in snapshot.items() if key != "missing"},
        snapshot | {"more": 1},
        snapshot | {"ram_total": "much"},
        snapshot | {"schema_version": 2},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(spoilt)


def schema_of(document):
    return {"$ref": "#/components/schemas/Snapshot", **document}


async def test_the_openapi_document_describes_every_route_and_field(
    serve, session, nvml, jsonschema
):
    url = await serve(nvml)
    document = await get_json(session, f"{url}/comfynb/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {f"/comfynb/{path}" for path in PATHS}
    schemas = document["components"]["schemas"]
    for fields, name in ((GPU, "Gpu"), (SUMMARY, "Snapshot")):
        for field in fields:
            assert schemas[name]["properties"][field.key]["description"]
    jsonschema.Draft202012Validator.check_schema({"$defs": schemas})
    for path, methods in document["paths"].items():
        assert list(methods) == ["get"]
        for code, response in methods["get"]["responses"].items():
            if code == "200":
                (content_type,) = response["content"]
                async with session.get(url + path) as answer:
                    assert answer.status == 200
                    assert answer.headers["Content-Type"].startswith(content_type)
    (interval,) = document["paths"]["/comfynb/metrics/stream"]["get"]["parameters"]
    assert (interval["schema"]["minimum"], interval["schema"]["maximum"]) == (0.25, 60)


async def test_openmetrics_is_served_where_prometheus_looks(serve, session, nvml):
    url = await serve(nvml)
    for path in ("/metrics", "/comfynb/metrics"):
        async with session.get(url + path) as answer:
            kind = answer.headers["Content-Type"]
            assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
            names = {family.name for family in parse(await answer.text())}
    assert "comfynb_gpu_power_watts" in names


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
async def test_it_can_only_be_read(serve, session, nvml, method, path):
    url = await serve(nvml)
    async with session.request(method, f"{url}/comfynb/{path}") as answer:
        assert answer.status == 405


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_without_a_body(serve, session, nvml, path):
    url = await serve(nvml)
    async with session.head(f"{url}/comfynb/{path}") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def events(answer):
    """Return server-sent events as (id, event, data), as a browser would read them."""
    fields = {}
    async for line in answer.content:
        text = line.decode().rstrip("\n")
        if text and not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = value
        elif not text and fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


async def take(answer, count):
    found = []
    async for event in events(answer):
        found.append(event)
        if len(found) == count:
            return found
    return found


async def test_a_stream_of_snapshots(serve, session, nvml):
    url = await serve(nvml)
    async with session.get(f"{url}/comfynb/metrics/stream?interval=0.25") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        found = await take(answer, 3)
    numbers = [number for number, _, _ in found]
    assert numbers == [1, 2, 3]
    assert {kind for _, kind, _ in found} == {"snapshot"}
    assert [data["sequence"] for _, _, data in found] == numbers
    assert all(data["gpus"][0]["gpu_temperature"] == 40 for _, _, data in found)
    times = [data["timestamp"] for _, _, data in found]
    assert times == sorted(set(times))


async def test_no_snapshot_is_sent_twice(serve, session, stand_in, fake_host):
    """One that took nearly an interval to make is still young when the next is due."""
    read = fake_host.read

    def slowly():
        time.sleep(0.2)
        return read()

    fake_host.read = slowly
    url = await serve(stand_in, machine=fake_host)
    async with session.get(f"{url}/comfynb/metrics/stream?interval=0.25") as answer:
        assert [number for number, _, _ in await take(answer, 4)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "interval", ["0", "-1", "0.2", "61", "nan", "inf", "-inf", "", "x", "1" * 400, "1;2", "0x1"]
)
async def test_an_interval_out_of_bounds_is_refused(serve, session, nvml, interval):
    url = await serve(nvml)
    address = f"{url}/comfynb/metrics/stream"
    async with session.get(address, params={"interval": interval}) as answer:
        assert answer.status == 400
        assert "a number from 0.25 to 60" in (await answer.json())["error"]


async def test_so_many_streams_and_no_more(serve, session, nvml, monkeypatch):
    monkeypatch.setattr(agent_web, "LOOK", 0.05)
    url = await serve(nvml, max_streams=3)
    address = f"{url}/comfynb/metrics/stream?interval=60"
    streams = [await session.get(address) for _ in range(3)]
    async with session.get(address) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert "3 streams are open" in (await answer.json())["error"]
    # polling goes on, and a place that is left is free again, though the stream only slept
    await get_json(session, f"{url}/comfynb/metrics.json")
    streams[0].close()
    async with asyncio.timeout(20):
        for _ in itertools.count():
            async with session.get(address) as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.05)
    for stream in streams:
        stream.close()


async def test_a_slow_stream_is_not_silent(serve, session, nvml, monkeypatch):
    monkeypatch.setattr(agent_web, "LOOK", 0.01)
    monkeypatch.setattr(agent_web, "KEEP_ALIVE", 0.02)
    url = await serve(nvml)
    async with session.get(f"{url}/comfynb/metrics/stream?interval=60") as answer:
        assert len(await take(answer, 1)) == 1
        # a comment, which no client takes for an event
        assert [await answer.content.readline() for _ in range(4)] == [b":\n", b"\n"] * 2


async def test_a_client_that_does_not_read_is_dropped_and_keeps_nobody_waiting(
    serve, session, nvml, monkeypatch
):
    monkeypatch.setattr(agent_web, "WRITE_PATIENCE", 0.2)
    monkeypatch.setattr(agent_web, "SHORTEST_INTERVAL", 0.0001)
    nvml.set_count(8)
    url = await serve(nvml, max_streams=1)
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    request = "GET /comfynb/metrics/stream?interval=0.001 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(request.encode())
    await reader.readline()
    async with asyncio.timeout(30):
        for _ in itertools.count():
            # somebody else is answered all the while
            await get_json(session, f"{url}/comfynb/metrics.json")
            async with session.get(f"{url}/comfynb/metrics/stream") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.05)
    writer.close()


async def test_streams_end_with_the_agent(library, gpu):
    from aiohttp import web

    from comfynb_agent.cli import make_agent, make_app
    from comfynb_agent.settings import Settings

    runner = web.AppRunner(make_app(make_agent(Settings())), shutdown_timeout=10)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/comfynb/metrics/stream?interval=60"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        (first,) = await take(answer, 1)
        assert first[2]["gpus"] == [gpu(0)]
        async with asyncio.timeout(8):
            await runner.cleanup()
            assert await take(answer, 1) == []
    # and NVML's thread lets go of it
    async with asyncio.timeout(20):
        for _ in itertools.count():
            if library.initialized == 0:
                break
            await asyncio.sleep(0.001)
