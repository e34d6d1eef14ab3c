"""A store with people, a small catalogue and deployments of each kind, made anew when asked."""

import types
from dataclasses import dataclass

import pytest

from comfynb.deploy.people import Person
from comfynb.deploy.service import DeployService, Parts
from comfynb.models import (
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    Lock,
    LockRecord,
    Model,
    ModelType,
    Role,
    Source,
    SystemPackage,
    User,
)
from comfynb.store import open_store

COMMIT = "0123456789" * 4
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


async def make_lock(contents, former):
    return Made(lock_named(contents.deployment.name))


def make_script(lock, target):
    return types.SimpleNamespace(files={"start.sh": f"# {target} {lock.name}"}, main="start.sh")


class World:
    """``service("USER")`` works for one of three people; each of them, and a fourth, owns things.

    Rows have the ids that say what they are: "USER-private" is the USER's own private deployment,
    "other-public" the fourth person's public one; nodes "node" and "node2", models "model" and
    "model2"; every deployment has the first of each, a package and a lock.
    """

    def __init__(self, store):
        self.store = store
        self.parts = Parts(lock=make_lock, script=make_script)
        self.people = {
            name: User(id=name, email=f"{name.lower()}@example.org", role=role)
            for name, role in (
                ("ADMIN", Role.ADMIN),
                ("CURATOR", Role.CURATOR),
                ("USER", Role.USER),
                ("other", Role.USER),
            )
        }

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
        *("model_download_stats", "sync_jobs", "url_validations", "node_facts"),
        *("model_versions", "node_versions"),
    )

    async def reset(self):
        """Everything as it was in the beginning."""
        rows = self.rows()

        def fill(tx):
            for table in reversed(self.TABLES):
                tx.execute(f"delete from {table}")
            tx.put(*rows)

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
