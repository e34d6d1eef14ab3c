"""Extensions in the sandbox's custom_nodes: their routes beside ComfyUI's, and nothing else."""

import asyncio
import json
import sys
import urllib.request

import pytest

from comfynb.sandbox import Sandbox

EXTENSION = '''
"""An extension as people write them."""
import asyncio, sys
from aiohttp import web
import folder_paths
from comfy.cli_args import args
from server import PromptServer
from .part import WORD

NODE_CLASS_MAPPINGS = {}
prompt_server = PromptServer.instance

@prompt_server.routes.get("/extension/{what}")
async def tell(request):
    running, pending = prompt_server.prompt_queue.get_current_queue_volatile()
    return web.json_response({
        "word": WORD,
        "what": request.match_info["what"],
        "loop": asyncio.get_running_loop() is prompt_server.loop,
        "output": folder_paths.get_output_directory(),
        "models": folder_paths.models_dir,
        "checkpoints": folder_paths.folder_names_and_paths["checkpoints"][0],
        "listen": args.listen,
        "remaining": prompt_server.prompt_queue.get_tasks_remaining(),
        "running": [item[1] for item in running],
        "pending": sorted(item[1] for item in pending),
    })

@prompt_server.routes.post("/extension/{what}")
async def keep(request):
    return web.Response(text=await request.text())
'''
NAMES = ("server", "folder_paths", "comfy", "comfy.cli_args")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "custom_nodes"
    good = folder / "good-one.v2"
    good.mkdir(parents=True)
    (good / "__init__.py").write_text(EXTENSION)
    (good / "part.py").write_text('WORD = "hello"\n')
    (folder / "__pycache__").mkdir()
    (folder / "readme.txt").write_text("not Python")
    (folder / "off.disabled").mkdir()
    (folder / "off.disabled" / "__init__.py").write_text("raise SystemExit('must not be loaded')")
    return folder


async def test_its_routes_answer_with_and_without_api(serve, connect, folder, graphs):
    server = await serve(custom_nodes=folder, samples=True)
    client = await connect(server)
    for path in ("/extension/x", "/api/extension/x"):
        told = await client.get(path)
        assert (told["word"], told["what"], told["loop"]) == ("hello", "x", True)
    assert told["output"] == str(server.settings.folder("output"))
    assert told["models"] == str(server.settings.folder("models"))
    assert told["checkpoints"] == [str(server.settings.folder("models") / "checkpoints")]
    assert told["listen"] == "127.0.0.1"
    assert told["remaining"] == 0
    assert await client.request("POST", "/extension/y", data="body") == (200, b"body")
    assert (await client.request("DELETE", "/extension/y"))[0] == 405
    assert (await client.request("GET", "/extension/"))[0] == 404
    for number in range(3):
        await client.submit(graphs.sampling(1000, seconds=1.0, seed=number), prompt_id=f"p{number}")
    await client.until(lambda frames: any(frame["type"] == "execution_start" for frame in frames))
    told = await client.get("/extension/x")
    assert (told["running"], told["pending"], told["remaining"]) == (["p0"], ["p1", "p2"], 3)
    # the queue of the next life, not of the last
    await server.restart()
    async with asyncio.timeout(20):
        told = await client.get("/extension/x")
    assert told["remaining"] == 0


async def test_a_prefix_and_a_password_hold_for_it_too(serve, session, folder):
    server = await serve(custom_nodes=folder, path_prefix="/comfy", auth="bearer:secret-word")
    async with session.get(f"{server.url}/extension/x") as answer:
        assert answer.status == 401
    headers = {"Authorization": "Bearer secret-word"}
    async with session.get(f"{server.url}/extension/x", headers=headers) as answer:
        assert answer.status == 200


async def test_one_that_fails_is_left_out_and_the_others_are_there(serve, connect, folder, caplog):
    for name, source in (
        ("a-broken", "import nothing_that_exists"),
        ("b-broken", "raise KeyError('x')"),
        ("with-nodes", "NODE_CLASS_MAPPINGS = {'Magic': object}"),
    ):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(source)
    single = EXTENSION.replace("from .part import WORD", "WORD = 'single'")
    (folder / "single.py").write_text(single.replace("/extension/", "/single/"))
    client = await connect(await serve(custom_nodes=folder))
    assert (await client.get("/extension/x"))["word"] == "hello"
    assert (await client.get("/single/x"))["word"] == "single"
    assert "Magic" not in await client.get("/object_info")
    for name in ("a-broken", "b-broken"):
        assert f"{folder / name} cannot be imported" in caplog.text
    assert f"leaves out the nodes of the extension {folder / 'with-nodes'}" in caplog.text


async def test_sandboxes_in_one_process_keep_apart(serve, connect, folder, tmp_path):
    before = {name: sys.modules.get(name) for name in NAMES}
    other = tmp_path / "other"
    first = await serve(custom_nodes=folder)
    second = await serve(custom_nodes=folder, base_dir=other)
    third = await serve()
    assert (await (await connect(first)).get("/extension/x"))["output"] != str(other / "output")
    assert (await (await connect(second)).get("/extension/x"))["output"] == str(other / "output")
    assert (await (await connect(third)).request("GET", "/extension/x"))[0] == 404
    # what is imported later comes from the one that started last, and goes with it
    assert sys.modules["folder_paths"].base_path == str(other)
    await first.stop()
    assert sys.modules["folder_paths"].base_path == str(other)
    await second.stop()
    assert {name: sys.modules.get(name) for name in NAMES} == before
    assert not [name for name in sys.modules if str(folder) in name]


async def test_a_folder_that_is_not_there_is_named(tmp_path, serve):
    with pytest.raises(ValueError, match="no folder of custom nodes at"):
        await serve(custom_nodes=tmp_path / "gone")


def test_on_the_command_line(folder):
    with (
        Sandbox(custom_nodes=folder, samples=False) as sandbox,
        urllib.request.urlopen(f"{sandbox.url}/extension/x", timeout=20) as answer,
    ):
        assert json.load(answer)["word"] == "hello"
