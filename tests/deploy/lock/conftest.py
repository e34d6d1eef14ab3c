"""A small world to lock things in: repositories, wheels, model services, all of them local."""

import os
import shutil
import ssl
import subprocess
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.lock import Git, LockOptions, LockReport, ModelSources, Uv, make_lock
from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.deploy.service.contents import ChosenModel, ChosenNode, DeploymentContents
from comfynb.models import (
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    Lock,
    Model,
    ModelType,
    ModelVersion,
    NodeFacts,
    NodeVersion,
    Source,
    StoredModel,
    SystemPackage,
)
from comfynb.store import Store, Transaction, open_store

GITHUB = "https://github.com/"
COMFYUI = "comfyanonymous/ComfyUI"
# Nothing here speaks TLS, and reading all certificates each time takes longer than the tests.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TORCH_FREE = "numpy\npillow\n"


class Forge:
    """Repositories that lie on this machine and are asked as if they were at GitHub."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(protocols=("https", "file"), rewrite={f"file://{root}/": GITHUB})

    def _run(self, place: Path, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{
                f"GIT_{who}_{what}": value
                for who in ("AUTHOR", "COMMITTER")
                for what, value in (
                    ("NAME", "A"),
                    ("EMAIL", "a@example.org"),
                    ("DATE", "2026-01-01T00:00:00Z"),
                )
            },
        }
        done = subprocess.run(
            ["git", *arguments], cwd=place, env=environment, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, name: str, files: Mapping[str, str], *tags: str) -> str:
        """Make a commit with these files, and the repository if it is not there."""
        place = self.root / name
        if not place.exists():
            place.mkdir(parents=True)
            self._run(place, "init", "--quiet", "--template=", "--initial-branch=main", ".")
            settings = "[uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n"
            with (place / ".git" / "config").open("a") as config:
                config.write(settings)
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
        self._run(place, "add", "--all")
        self._run(place, "commit", "--quiet", "--allow-empty", "--message", "x")
        for tag in tags:
            self._run(place, "tag", "--annotate", "--message", "x", tag)
        return self._run(place, "rev-parse", "HEAD")


def make_wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    """Write the smallest wheel that a resolver takes."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        wheel.writestr(f"{module}.py", "raise SystemExit('this must never run')\n")
        wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.26.4", "2.0.2", "2.1.0"):
        make_wheel(folder, "numpy", version)
    for version in ("10.0.0", "11.0.0"):
        make_wheel(folder, "pillow", version)
    for version in ("2.7.0", "2.8.0"):
        make_wheel(folder, "torch", version, "numpy")
    for version in ("0.24.6", "0.34.1", "1.2.0"):
        make_wheel(folder, "huggingface-hub", version)
    make_wheel(folder, "old-lib", "1.0", "numpy<2")
    make_wheel(folder, "new-lib", "1.0", "numpy>=2")
    make_wheel(folder, "mid-lib", "1.0", "numpy!=2.1.0")
    for name in ("opencv-python", "opencv-python-headless"):
        make_wheel(folder, name, "4.10.0", "numpy")
    return folder


@pytest.fixture(scope="session")
def uv(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Uv:
    """The resolver with the wheels as its only source."""
    return Uv(find_links=wheels, no_index=True, cache=tmp_path_factory.mktemp("uv"))


@pytest.fixture(scope="session")
def first_forge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    forge = Forge(tmp_path_factory.mktemp("forge"))
    forge.commit(COMFYUI, {"requirements.txt": TORCH_FREE}, "v0.3.64")
    return forge.root


@pytest.fixture
def forge(first_forge: Path, tmp_path: Path) -> Forge:
    shutil.copytree(first_forge, tmp_path / "forge")
    return Forge(tmp_path / "forge")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(tmp_path_factory.mktemp("store") / "lab.duckdb")
    yield store
    store.close().result()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Mapping[str, Handler]], Awaitable[str]]


class World:
    """All of it together: what is put in is what a deployment has."""

    def __init__(self, forge: Forge, uv: Uv, store: Store) -> None:
        self.forge = forge
        self.uv = uv
        self.store = store
        self.catalogue = Catalogue(store)
        self.allowed: set[str] = set()
        self.sources = ModelSources("http://127.0.0.1:1", "http://127.0.0.1:1")
        self.deployment = Deployment(
            name="Portraits", userId="u1", customSettings={"cuda_version": "12.8"}
        )
        self._rows: list[StoredModel] = []
        self.nodes: list[ChosenNode] = []
        self.models: list[ChosenModel] = []
        self.packages: list[SystemPackage] = []
        self.comfyui_asked = 0

    def pack(
        self,
        name: str,
        requirements: str = "",
        *,
        files: Mapping[str, str] | None = None,
        tags: tuple[str, ...] = (),
        config: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        versions: tuple[NodeVersion, ...] = (),
        **fields: Any,
    ) -> str:
        """Put a pack into the deployment; gives its commit."""
        fields.setdefault("githubUrl", f"{GITHUB}{name}/{name}")
        texts = {"__init__.py": "", "requirements.txt": requirements, **(files or {})}
        commit = ""
        if fields["githubUrl"].startswith(GITHUB) and fields.get("installType", "git") == "git":
            repo = fields["githubUrl"].removeprefix(GITHUB)
            commit = self.forge.commit(repo, texts, *tags)
        node = CustomNode(id=f"node-{name}", name=name, isVerified=True, **fields)
        self._rows.append(node)
        if facts is not None:
            self._rows.append(NodeFacts(customNodeId=node.id, **facts))
        self._rows += [v.model_copy(update={"customNodeId": node.id}) for v in versions]
        choice = DeploymentNode(deploymentId="d1", customNodeId=node.id, config=dict(config or {}))
        self.nodes.append(ChosenNode(choice, node))
        return commit

    def model(
        self,
        url: str,
        filename: str,
        *,
        folder: str = "models/loras",
        version: Mapping[str, Any] | None = None,
        custom: str | None = None,
        **fields: Any,
    ) -> None:
        """Put a model into the deployment."""
        number = len(self.models)
        fields.setdefault("source", Source.HUGGINGFACE)
        fields.setdefault("name", filename)
        fields.setdefault("isVerified", True)
        fields.setdefault("metadata", {"license": "mit"})
        model = Model(
            id=f"model-{number}", type=ModelType.LORA, filename=filename, downloadUrl=url, **fields
        )
        self._rows.append(model)
        if version is not None:
            self._rows.append(
                ModelVersion(
                    **{
                        "modelId": model.id,
                        "name": "main",
                        "filename": filename,
                        "downloadUrl": url,
                        **version,
                    }
                )
            )
        choice = DeploymentModel(
            deploymentId="d1", modelId=model.id, targetPath=folder, customName=custom
        )
        self.models.append(ChosenModel(choice, model))

    def clear(self) -> None:
        """Take everything out of the store again, which the next test uses as well."""

        def delete(tx: Transaction) -> None:
            for chosen in self.nodes:
                tx.delete(CustomNode, chosen.node.id)
            for each in self.models:
                tx.delete(Model, each.model.id)

        self.store.transact(delete).result()

    @property
    def contents(self) -> DeploymentContents:
        return DeploymentContents(
            self.deployment, "Ada", tuple(self.nodes), tuple(self.models), tuple(self.packages)
        )

    async def lock(self, former: Lock | None = None, **options: Any) -> LockReport:
        """Make a lock of what is in the deployment."""
        rows, self._rows = self._rows, []
        if rows:
            await self.store.put(*rows)
        given = {"git": self.forge.git, "uv": self.uv, "sources": self.sources, **options}
        policy = NetPolicy(frozenset(self.allowed))
        async with Fetcher(policy=policy, timeout=10, tls=TLS) as fetcher:
            return await make_lock(
                self.contents,
                self.catalogue,
                fetcher,
                former=former,
                options=LockOptions(**given),
            )


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server; gives its address."""
    runners = []

    async def start(routes: Mapping[str, Handler]) -> str:
        app = web.Application()
        for path, handler in routes.items():
            app.router.add_route("*", path, handler)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def world(forge: Forge, uv: Uv, store: Store) -> Iterator[World]:
    world = World(forge, uv, store)
    yield world
    world.clear()
