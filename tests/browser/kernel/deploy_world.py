"""What the deployments' notebook of the browser tests lives in: repositories, wheels, services."""

import asyncio
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from aiohttp import web

from comfynb.deploy.lock import LockOptions, ModelSources, Uv

REPO = Path(__file__).resolve().parents[3]
GITHUB = "https://github.com/"
HF = "https://huggingface.co/org/styles/resolve/main/style-1.safetensors"

LISTS: dict[str, Any] = {
    "custom-node-list.json": {
        "custom_nodes": [
            {
                "author": "ada",
                "title": f"Listed {number}",
                "reference": f"{GITHUB}listed/pack-{number}",
                "files": [f"{GITHUB}listed/pack-{number}"],
                "install_type": "git-clone",
                "description": "One of the lists.",
            }
            for number in range(3)
        ]
    },
    "extension-node-map.json": {},
    "github-stats.json": {},
    "alter-list.json": {"items": []},
    "model-list.json": {"models": []},
}


def _lock_tests() -> ModuleType:
    """The world of the lock's tests: a conftest.py has no name that one could import."""
    place = REPO / "tests" / "deploy" / "lock" / "conftest.py"
    spec = importlib.util.spec_from_file_location("lock_world", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class World:
    """What the test asks for."""

    def __init__(self, wb: Any, base: str, gate: asyncio.Event, commits: list[str]) -> None:
        self._wb = wb
        self._gate = gate
        self.commits = commits
        self.workflow = Path("portrait-to-deploy.json")
        self.slow_lists = f"{base}/lists"

    def go_on(self) -> None:
        """Let the lists' server answer."""
        self._gate.set()

    def kept_token(self) -> str | None:
        """What the fetcher would send to Hugging Face."""
        vault = self._wb.deployments._session._vault
        secret = vault.secret_for("huggingface.co")
        return secret if isinstance(secret, str) or secret is None else secret.reveal()


async def _serve(gate: asyncio.Event) -> str:
    async def file(_: web.Request) -> web.Response:
        headers = {
            "X-Repo-Commit": "c" * 40,
            "X-Linked-Size": str(1_234_567_890),
            "X-Linked-Etag": f'"{"a" * 64}"',
            "Location": "https://cdn.example/x",
        }
        return web.Response(status=302, headers=headers)

    async def lists(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "github-stats.json":
            await gate.wait()
        return web.json_response(LISTS[name])

    app = web.Application()
    app.router.add_route("*", "/org/styles/resolve/main/style-1.safetensors", file)
    app.router.add_get("/lists/{name}", lists)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def build(wb: Any) -> World:
    """Fill the catalogue, write the workflow, and let locks be made of what lies here."""
    return _build(wb, await _serve(gate := asyncio.Event()), gate)


def _build(wb: Any, base: str, gate: asyncio.Event) -> World:
    lock = _lock_tests()
    root = Path("world").resolve()
    forge, wheels = lock.Forge(root / "forge"), root / "wheels"
    wheels.mkdir(parents=True)
    for version in ("1.26.4", "2.1.0"):
        lock.make_wheel(wheels, "numpy", version)
    lock.make_wheel(wheels, "pillow", "11.0.0")
    lock.make_wheel(wheels, "old-lib", "1.0", "numpy<2")
    lock.make_wheel(wheels, "new-lib", "1.0", "numpy>=2")
    commits = [forge.commit(lock.COMFYUI, {"requirements.txt": "numpy\npillow\n"}, "v0.3.64")]
    catalogue = wb.catalogue
    for name, requirements, classes, kept in (
        ("Old Grain", "old-lib\n", ["OldGrain"], False),
        ("New Grain", "new-lib\n", ["NewGrain"], True),
        ("Blur", "", ["SoftBlur"], False),
        ("Better Blur", "", ["SoftBlur"], True),
    ):
        repository = f"grain/{name.lower().replace(' ', '-')}"
        files = {"__init__.py": "", "requirements.txt": requirements}
        if name == "New Grain":
            files["install.py"] = "raise SystemExit('this must never run')\n"
        made = forge.commit(repository, files)
        commits += [made] if kept else []
        catalogue.add_node(f"{GITHUB}{repository}", name=name, nodeClasses=classes, author="ada")
    for number in range(1, 24):
        catalogue.add_model(
            HF.replace("style-1", f"style-{number}"), filename=f"style-{number}.safetensors",
            name=f"Style {number}", type="LORA",
            baseModel="SDXL" if number % 2 else "Flux.1", fileSize=1_234_567_890,
            metadata={"description": f"Paints as number {number} would.", "tags": ["style"]},
        )  # fmt: skip
    catalogue.add_model(
        "https://huggingface.co/org/styles/resolve/main/style.vae.pt", name="Style <b>VAE</b>",
        type="VAE", metadata={"description": "<img src=x onerror=alert(1)>"},
    )  # fmt: skip
    catalogue.add_model(  # what no search of the test finds
        "https://huggingface.co/org/other/resolve/main/plain.safetensors", name="Plain", type="LORA"
    )
    os.environ["COMFYNB_ALLOW"] = base.removeprefix("http://")
    wb.deployments._session.lock_options = LockOptions(
        git=forge.git,
        uv=Uv(find_links=wheels, no_index=True, cache=root / "uv"),
        sources=ModelSources(base, base),
    )
    world = World(wb, base, gate, commits)
    core = {"cnr_id": "comfy-core", "ver": "0.3.64"}
    nodes = [
        ("CheckpointLoaderSimple", core, ["nobody-has-this.safetensors"]),
        ("LoraLoader", core, ["style-1.safetensors", 1.0, 1.0]),
        ("OldGrain", {}, []),
        ("NewGrain", {}, []),
        ("SoftBlur", {}, []),
    ]
    drawn = [
        {"id": at, "type": kind, "mode": 0, "properties": properties, "widgets_values": values}
        for at, (kind, properties, values) in enumerate(nodes, 1)
    ]
    world.workflow.write_text(json.dumps({"nodes": drawn, "links": [], "version": 0.4}))
    return world
