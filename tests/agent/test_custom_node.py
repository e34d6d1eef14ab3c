"""The agent in ComfyUI's custom_nodes: it answers on its port and changes nothing else there.

COMFYNB_TEST_AGENT_URL names a real ComfyUI with the agent in it (COMFYNB_TEST_AGENT_TOKEN its
token): the same questions are then asked there.
"""

import asyncio
import json
import os
import sys
import types
import urllib.parse

import aiohttp
import pynvml
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from comfynb.sandbox import Sandbox, in_process
from comfynb.sandbox.versions import VERSIONS
from comfynb_agent.custom_node import _folders, _torch_gpus

SECRET = "correct-horse-battery-staple"
ROUTES = ("metrics.json", "metrics", "metrics/stream", "openapi.json")
REAL = os.environ.get("COMFYNB_TEST_AGENT_URL")

# What may differ from one server to the next, or from one question to the next.
MOVING = {
    "modified",
    "created",
    "ram_free",
    "vram_free",
    "torch_vram_free",
    "vram_total",
    "torch_vram_total",
    "argv",
}


@pytest.fixture
def custom_nodes(repo, tmp_path):
    """A custom_nodes folder with the agent in it, as people put it there."""
    folder = tmp_path / "custom_nodes"
    folder.mkdir()
    (folder / "comfynb-agent").symlink_to(repo / "agent", target_is_directory=True)
    return folder


@pytest.fixture
def no_driver(monkeypatch):
    """Keep the machine's own NVML out of this process."""
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    def none(name):
        raise OSError(name)

    monkeypatch.setattr(pynvml, "CDLL", none)


def steady(value):
    """Return JSON without what moves by itself."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in MOVING}
    return [steady(item) for item in value] if isinstance(value, list) else value


async def ask(session, server, path):
    """Return what a server answers, without what its own folder is called."""
    async with session.get(server.url + path) as answer:
        body = (await answer.read()).replace(str(server.settings.base_dir).encode(), b"BASE")
        kind = answer.headers.get("Content-Type")
        content = steady(json.loads(body)) if "json" in (kind or "") else body
        return answer.status, kind, content, sorted(set(answer.headers) - {"Date"})


def table(server):
    """Return what a server's router knows: methods and paths in the order in which they match."""
    app = server._runner.app
    return [(route.method, route.resource.canonical) for route in app.router.routes()]


@pytest.mark.parametrize("version", VERSIONS)
async def test_it_changes_nothing_else(custom_nodes, no_driver, session, version):
    async with (
        in_process(version=version, samples=True) as plain,
        in_process(version=version, samples=True, custom_nodes=custom_nodes) as with_agent,
    ):
        added = [route for route in table(with_agent) if route not in table(plain)]
        expected = [
            (method, f"{prefix}/comfynb/{path}")
            for prefix in ("/api", "")
            for path in ROUTES
            for method in ("GET", "HEAD")
        ]
        assert sorted(added) == sorted(expected)
        # everything else is there as it was, in the same order
        assert [route for route in table(with_agent) if route not in added] == table(plain)
        assert with_agent._runner.app.middlewares == plain._runner.app.middlewares
        paths = sorted({path for method, path in table(plain) if method == "GET"})
        asked = [path for path in paths if "{" not in path and path not in {"/ws", "/api/ws"}]
        assert "/object_info" in asked
        assert len(asked) > 20
        asked += ["/", "/nowhere", "/api/nowhere", "/comfynb", "/comfynb/other", "/metrics"]
        asked += ["/object_info/KSampler", "/models/checkpoints", "/history/x", "/comfynb/metrics/"]
        for path in asked:
            if path.startswith(("/sandbox", "/api/sandbox")):
                continue
            assert await ask(session, with_agent, path) == await ask(session, plain, path), path
        for path in ROUTES:
            async with session.post(f"{with_agent.url}/comfynb/{path}") as answer:
                assert answer.status == 405


async def test_it_answers_on_comfyuis_port(custom_nodes, no_driver, session):
    async with in_process(samples=True, custom_nodes=custom_nodes) as server:
        for prefix in ("", "/api"):
            await check(session, f"{server.url}{prefix}/comfynb", {})
        async with session.get(f"{server.url}/comfynb/metrics.json") as answer:
            snapshot = await answer.json()
        assert snapshot["agent"]["mode"] == "comfyui"
        assert snapshot["comfyui"] == {
            "source": "comfyui",
            "online": True,
            "running": 0,
            "pending": 0,
            "running_prompt_ids": [],
        }
        folders = {disk["role"]: disk["path"] for disk in snapshot["disks"]}
        assert folders == {
            role: str(server.settings.folder(role))
            for role in ("models", "output", "input", "temp")
        }


async def check(session, url, headers):
    """Ask everything once; used on the sandbox and on a real ComfyUI alike."""
    async with session.get(f"{url}/openapi.json", headers=headers) as answer:
        document = await answer.json()
    async with session.get(f"{url}/metrics.json", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        snapshot = await answer.json()
    import jsonschema  # takes seconds, so not while tests are collected

    schema = {"$ref": "#/components/schemas/Snapshot", **document}
    jsonschema.Draft202012Validator(schema).validate(snapshot)
    async with session.get(f"{url}/metrics", headers=headers) as answer:
        assert {family.name for family in parse(await answer.text())} >= {"comfynb_queue_running"}
    async with session.get(f"{url}/metrics/stream?interval=0.25", headers=headers) as answer:
        for _ in range(2):
            lines = [await answer.content.readline() for _ in range(4)]
            assert [line.partition(b":")[0] for line in lines] == [b"id", b"event", b"data", b"\n"]
    return snapshot


async def test_the_queue_while_something_runs(custom_nodes, no_driver, session):
    sampler = {
        "seed": 1,
        "steps": 1000,
        "seconds_per_step": 1.0,
        "text": "",
        "width": 16,
        "height": 16,
    }
    prompt = {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0}},
        "2": {"class_type": "LabSampler", "inputs": {"model": ["1", 0], **sampler}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    async with in_process(samples=True, custom_nodes=custom_nodes) as server:
        for number in range(3):
            body = {"prompt": prompt, "prompt_id": f"p-{number}"}
            async with session.post(f"{server.url}/prompt", json=body) as answer:
                assert answer.status == 200
        snapshot = {"active_job_id": None}
        async with asyncio.timeout(20):
            while snapshot["active_job_id"] is None:
                async with session.get(f"{server.url}/comfynb/metrics.json") as answer:
                    snapshot = await answer.json()
        assert (snapshot["active_job_id"], snapshot["queue_depth"]) == ("p-0", 3)
        assert (snapshot["online"], snapshot["last_seen"]) == (True, snapshot["timestamp"])


async def test_gpus_through_the_c_interface_inside_comfyui(
    custom_nodes, library_path, session, gpu, monkeypatch
):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library_path.parent))
    monkeypatch.setenv("FAKE_NVML_GPUS", "2")
    async with Sandbox(custom_nodes=custom_nodes, samples=False) as sandbox:
        async with session.get(f"{sandbox.url}/comfynb/metrics.json") as answer:
            snapshot = await answer.json()
        assert snapshot["gpus"] == [gpu(0), gpu(1)]
        assert snapshot["missing"] == []
        assert snapshot["agent"]["pid"] == sandbox.pid


@pytest.mark.parametrize(
    ("environment", "headers", "status"),
    [
        ({}, {}, 403),
        ({}, {"Authorization": f"Bearer {SECRET}"}, 403),
        ({"COMFYNB_AGENT_TOKEN": SECRET}, {}, 401),
        ({"COMFYNB_AGENT_TOKEN": SECRET}, {"Authorization": f"Bearer {SECRET}"}, 200),
        ({"COMFYNB_AGENT_TOKEN": "short"}, {"Authorization": "Bearer short"}, 404),
        ({"COMFYNB_AGENT_TOKEN_FILE": "/nowhere/at/all"}, {}, 404),
    ],
)
async def test_a_comfyui_that_others_can_reach(  # noqa: PLR0917
    custom_nodes, no_driver, session, monkeypatch, caplog, environment, headers, status
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with in_process(samples=False, host="0.0.0.0", custom_nodes=custom_nodes) as server:
        for path in ROUTES:
            address = f"{server.url}/comfynb/{path}"
            async with session.get(address, headers=headers) as answer:
                assert answer.status == status
        # ComfyUI itself goes on in any case, and its log says why there are no metrics
        async with session.get(f"{server.url}/system_stats") as answer:
            assert answer.status == 200
    assert ("comfynb agent" in caplog.text) == (status in {403, 404})
    assert SECRET not in caplog.text
    assert "short" not in caplog.text


async def test_a_comfyui_on_this_machine_only(custom_nodes, no_driver, session, monkeypatch):
    monkeypatch.setenv("COMFYNB_AGENT_ALLOW_HOSTS", "comfy.example, Other.Example")
    monkeypatch.setenv("COMFYNB_AGENT_BACKEND_ID", "the big one")
    async with in_process(samples=False, custom_nodes=custom_nodes) as server:
        url = f"{server.url}/comfynb/metrics.json"
        for name, status in (
            ("localhost", 200),
            ("comfy.example", 200),
            ("other.example:8188", 200),
            ("evil.example", 403),
        ):
            async with session.get(url, headers={"Host": name}) as answer:
                assert answer.status == status
        async with session.get(url) as answer:
            assert (await answer.json())["backend_id"] == "the big one"


def test_routes_have_no_options_which_comfyui_could_not_copy(custom_nodes, no_driver):
    async def kwargs():
        async with in_process(samples=False, custom_nodes=custom_nodes) as server:
            return [route.kwargs for route in server.custom_nodes.routes]

    assert asyncio.run(kwargs()) == [{}] * len(ROUTES)


def test_a_comfyui_whose_listening_is_unknown_counts_as_open(custom_nodes, monkeypatch, caplog):
    from aiohttp import web

    from comfynb_agent.custom_node import install

    for arguments in (None, types.SimpleNamespace(), types.SimpleNamespace(listen=None)):
        server = types.SimpleNamespace(routes=web.RouteTableDef())
        prompt_server = types.SimpleNamespace(instance=server)
        monkeypatch.setitem(
            sys.modules, "server", types.SimpleNamespace(PromptServer=prompt_server)
        )
        monkeypatch.setitem(sys.modules, "folder_paths", types.SimpleNamespace())
        cli_args = None if arguments is None else types.SimpleNamespace(args=arguments)
        monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
        monkeypatch.setitem(sys.modules, "comfy.cli_args", cli_args)
        caplog.clear()
        assert install({}) is not None
        assert "refuses all questions" in caplog.text
        assert len(server.routes) == len(ROUTES)


def test_model_folders_on_other_disks(tmp_path, monkeypatch):
    here, there = tmp_path / "models", tmp_path / "far"
    for folder in (here, here / "loras", there):
        folder.mkdir()
    stat = os.stat

    def on_disks(path, **options):
        found = stat(path, **options)
        return types.SimpleNamespace(st_dev=2) if str(path) == str(there) else found

    monkeypatch.setattr("comfynb_agent.custom_node.os.stat", on_disks)
    folder_paths = types.SimpleNamespace(
        models_dir=str(here),
        get_output_directory=lambda: "/out",
        get_input_directory=lambda: "/in",
        get_temp_directory=lambda: "/temp",
        folder_names_and_paths={
            "loras": ([str(here / "loras"), str(there), str(tmp_path / "gone")], {".safetensors"}),
            "vae": ([str(there)], set()),
        },
    )
    assert list(_folders(folder_paths)) == [
        ("models", str(here)),
        ("output", "/out"),
        ("input", "/in"),
        ("temp", "/temp"),
        ("models", str(there)),
    ]


def test_the_gpu_that_torch_computes_on(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert _torch_gpus() == set()
    reserved = {0: 0, 1: 5}
    cuda = types.SimpleNamespace(
        is_initialized=lambda: False,
        device_count=lambda: 2,
        memory_reserved=reserved.__getitem__,
        get_device_properties=lambda number: types.SimpleNamespace(uuid=f"0000-{number}"),
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    assert _torch_gpus() == set()
    cuda.is_initialized = lambda: True
    assert _torch_gpus() == {"GPU-0000-1"}


@pytest.mark.skipif(
    REAL is None,
    reason="COMFYNB_TEST_AGENT_URL names no ComfyUI with the agent: only the sandbox was asked",
)
async def test_a_real_comfyui(network_guard):
    assert REAL is not None
    host = urllib.parse.urlsplit(REAL).hostname
    network_guard.allowed.add(host)
    addresses = await asyncio.get_running_loop().getaddrinfo(host, None)
    network_guard.allowed.update(str(address[4][0]) for address in addresses)
    token = os.environ.get("COMFYNB_TEST_AGENT_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        snapshot = await check(session, f"{REAL.rstrip('/')}/comfynb", headers)
        assert snapshot["agent"]["mode"] == "comfyui"
        assert snapshot["online"] is True
        async with session.get(f"{REAL}/system_stats") as answer:
            stats = await answer.json()
        assert abs(stats["system"]["ram_total"] // 1024**2 - snapshot["ram_total"]) <= 1
        async with session.get(f"{REAL}/object_info") as answer:
            assert not [name for name in await answer.json() if "comfynb" in name.lower()]
        async with session.get(f"{REAL}/extensions") as answer:
            assert not [path for path in await answer.json() if "comfynb" in path.lower()]
