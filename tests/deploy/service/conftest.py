"""A store with people, a small catalogue and deployments of each kind, made anew when asked."""

import base64
import types
from dataclasses import dataclass

import pytest

from comfynb.deploy.people import Person
from comfynb.deploy.service import DeployService, Parts
from comfynb.deploy.sync import SyncRunner, SyncSource
from comfynb.deploy.tokens import VARIABLE, KeyStore, TokenVault
from comfynb.models import (
    ApiToken,
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    Lock,
    LockRecord,
    Model,
    ModelType,
    Role,
    Service,
    Source,
    SyncJob,
    SyncStatus,
    SyncType,
    SystemPackage,
    User,
)
from comfynb.store import open_store

COMMIT = "0123456789" * 4
KEYS = {VARIABLE: base64.urlsafe_b64encode(b"k" * 32).decode()}
OWNED = ("private", "public", "template")


def lock_named(name):
    return Lock.model_validate(
        {
            "name": name,
            "comfyui": {"version": "0.3.64", "commit": COMMIT},
            "created_at": "2026-11-01T00:00:00Z",
        }
    )


@dataclass
class Made:
    """What the stand-ins for the makers of locks and scripts give back."""

    lock: Lock


async def make_lock(contents, former, upgrade):
    return Made(lock_named(contents.deployment.name))


def make_script(lock, target):
    return types.SimpleNamespace(files={"start.sh": f"# {target} {lock.name}"}, main="start.sh")


class Nothing(SyncSource):
    """A source that has nothing to say."""

    name = "nothing"
    type = SyncType.COMFYUI_NODES

    def settings(self):
        return {}

    async def batches(self, ask, cursor):
        for batch in ():
            yield batch


class World:
    """``service("USER")`` works for one of three people; each of them, and a fourth, owns things.

    Rows have the ids that say what they are: "USER-private" is the USER's own private deployment,
    "other-public" the fourth person's public one; nodes "node" and "node2", models "model" and
    "model2"; every deployment has the first of each, a package and a lock.
    """

    def __init__(self, store):
        self.store = store
        self.runner = SyncRunner(store, None)
        self.parts = Parts(
            lock=make_lock,
            script=make_script,
            vault=TokenVault(store, "nobody", keys=KeyStore(environ=KEYS), environ=KEYS),
            syncs=self.sync_runner,
            sources={"nothing": Nothing},
        )
        self.beginning = None
        self.tokens = {}
        self.people = {
            name: User(id=name, email=f"{name.lower()}@example.org", role=role)
            for name, role in (
                ("ADMIN", Role.ADMIN),
                ("CURATOR", Role.CURATOR),
                ("USER", Role.USER),
                ("other", Role.USER),
            )
        }

    async def sync_runner(self):
        return self.runner

    def service(self, name):
        return DeployService(
            self.store, Person(self.people[name], "given"), self.parts, client="test/1"
        )

    def rows(self):
        rows = [*self.people.values()]
        for name in ("node", "node2"):
            url = f"https://github.com/example/{name}"
            rows.append(CustomNode(id=name, name=f"Pack {name}", githubUrl=url))
        rows += [
            Model(
                id=name,
                name=f"Model {name}",
                source=Source.DIRECT,
                type=ModelType.LORA,
                filename=f"{name}.safetensors",
                downloadUrl=f"https://example.org/{name}.safetensors",
            )
            for name in ("model", "model2")
        ]
        failed = {"source": "nothing", "settings": {}}
        for name, status in (("failed", SyncStatus.FAILED), ("dead", SyncStatus.RUNNING)):
            rows.append(
                SyncJob(id=name, type=SyncType.COMFYUI_NODES, status=status, results=failed)
            )
        for owner in self.people:
            for kind in OWNED:
                rows += self.deployment(f"{owner}-{kind}", owner, kind)
        return rows

    @staticmethod
    def deployment(key, owner, kind):
        lock = lock_named(key).model_dump(mode="json")
        return [
            Deployment(
                id=key,
                name=key,
                userId=owner,
                isPublic=kind == "public",
                isTemplate=kind == "template",
            ),
            DeploymentNode(deploymentId=key, customNodeId="node"),
            DeploymentModel(deploymentId=key, modelId="model", targetPath="models/loras"),
            SystemPackage(id=f"{key}-git", deploymentId=key, packageType="APT", name="git"),
            LockRecord(id=f"{key}-lock", deploymentId=key, content=lock, sha256="0" * 64),
        ]

    TABLES = (
        *("users", "api_tokens", "custom_nodes", "models", "deployments", "deployment_nodes"),
        *("deployment_models", "system_packages", "locks", "deployment_usage"),
        "deployment_workflows",
        *("model_download_stats", "sync_jobs", "url_validations", "node_facts"),
        *("model_versions", "node_versions"),
    )

    async def reset(self, now=None):
        """Everything as it was in the beginning; ``now`` is a snapshot, if there is one."""
        if self.beginning is None:
            # Tokens are sealed for their rows, so they are made by the vault, once.
            rows = self.rows()
            await self.store.transact(lambda tx: tx.put(*rows))
            vault = self.parts.vault
            for name in self.people:
                info = await vault.for_user(name).add(name, Service.CIVITAI, f"secret-of-{name}")
                self.tokens[name] = info.id
            tokens = await self.store.find(ApiToken)
            self.beginning = [*rows, *tokens], await self.snapshot()
            return
        rows, before = self.beginning
        now = now or await self.snapshot()
        changed = [table for table in self.TABLES if now[table] != before[table]]

        def fill(tx):
            for table in reversed(changed):
                tx.execute(f"delete from {table}")
            tx.put(*(row for row in rows if row.table_name in changed))

        if changed:
            await self.store.transact(fill)

    async def snapshot(self):
        """All that is in the store."""

        def look(view):
            return {
                table: sorted(map(repr, view.execute(f"select * from {table}")))
                for table in self.TABLES
            }

        return await self.store.read(look)


@pytest.fixture(scope="module")
def open_world(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("service") / "lab.duckdb")
    yield World(store)
    store.close().result(30)


@pytest.fixture
async def world(open_world):
    await open_world.reset()
    return open_world
