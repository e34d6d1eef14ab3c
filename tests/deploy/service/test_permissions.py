"""The permission matrix: each role, each command, whoever owns what it names; every one has a row.

The table says what must happen, and not how commands say it of themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from comfynb.deploy import service
from comfynb.deploy.service import COMMANDS, Command
from comfynb.deploy.sync import SyncRun
from comfynb.errors import NotAllowed, NotFound

ROLES = ("USER", "CURATOR", "ADMIN")

# What a command may name: one's own deployment, somebody else's of three kinds, or none at all.
TARGETS = ("own", "foreign", "public", "template", "missing")
OK, NO, UNKNOWN = "done", NotAllowed, NotFound
SEES = {
    "USER": (OK, UNKNOWN, OK, OK, UNKNOWN),
    "CURATOR": (OK, UNKNOWN, OK, OK, UNKNOWN),
    "ADMIN": (OK, OK, OK, OK, UNKNOWN),
}
CHANGES = {
    "USER": (OK, UNKNOWN, NO, NO, UNKNOWN),
    "CURATOR": (OK, UNKNOWN, NO, NO, UNKNOWN),
    "ADMIN": (OK, OK, OK, OK, UNKNOWN),
}
# Commands that name no deployment.
ANYBODY = {"USER": (OK,), "CURATOR": (OK,), "ADMIN": (OK,)}
CURATORS = {"USER": (NO,), "CURATOR": (OK,), "ADMIN": (OK,)}
ADMINS = {"USER": (NO,), "CURATOR": (NO,), "ADMIN": (OK,)}


@dataclass(frozen=True)
class Row:
    """What must happen, and what a command is given beside the deployment's id."""

    expected: dict[str, tuple[Any, ...]]
    values: Callable[[str], dict[str, Any]] = lambda key: {}


def given(**values: Any) -> Callable[[str], dict[str, Any]]:
    return lambda key: values


BUNDLE = '{"format": "comfynb-deployment", "version": 1, "name": "shared"}'

MATRIX: dict[type[Command[Any]], Row] = {
    service.CreateDeployment: Row(ANYBODY, given(name="mine")),
    service.ReadDeployment: Row(SEES),
    service.ListDeployments: Row(ANYBODY),
    service.UpdateDeployment: Row(CHANGES, given(name="renamed")),
    service.DeleteDeployment: Row(CHANGES),
    service.CloneDeployment: Row(SEES),
    service.PublishDeployment: Row(CHANGES),
    service.MakeTemplate: Row(CHANGES),
    service.AddNode: Row(CHANGES, given(customNodeId="node2")),
    service.RemoveNode: Row(CHANGES, given(customNodeId="node")),
    service.EnableNode: Row(CHANGES, given(customNodeId="node", isEnabled=False)),
    service.AddModel: Row(CHANGES, given(modelId="model2")),
    service.RemoveModel: Row(CHANGES, given(modelId="model")),
    service.EnableModel: Row(CHANGES, given(modelId="model", isEnabled=False)),
    service.AddPackage: Row(CHANGES, given(packageType="PIP", name="numpy")),
    service.RemovePackage: Row(CHANGES, lambda key: {"packageId": f"{key}-git"}),
    service.SetEnvironment: Row(CHANGES, given(variables={"A": "1"})),
    service.SetSettings: Row(CHANGES, given(settings={"cuda_version": "12.8"})),
    service.FillDeployment: Row(CHANGES, given(nodes=[{"customNodeId": "node2"}])),
    service.ReadWorkflow: Row(SEES),
    service.MakeLock: Row(CHANGES),
    service.ReadLock: Row(SEES),
    service.ListLocks: Row(SEES),
    service.GenerateScript: Row(SEES),
    service.PreviewScript: Row(SEES),
    service.ExportBundle: Row(SEES),
    service.ImportBundle: Row(ANYBODY, given(bundle=BUNDLE)),
    service.ReadUsage: Row(SEES),
    service.ReadDownloads: Row(ANYBODY),
    service.RecordDownloads: Row(SEES, given(modelIds=["model"])),
    service.RegisterNode: Row(CURATORS, given(githubUrl="https://github.com/example/new")),
    service.EditNode: Row(CURATORS, given(customNodeId="node", fields={"author": "Ada"})),
    service.VerifyNode: Row(CURATORS, given(customNodeId="node")),
    service.DeactivateNode: Row(CURATORS, given(customNodeId="node")),
    service.RegisterModel: Row(
        CURATORS, given(name="n", type="LORA", downloadUrl="https://example.org/n.safetensors")
    ),
    service.EditModel: Row(CURATORS, given(modelId="model", fields={"baseModel": "SDXL"})),
    service.VerifyModel: Row(CURATORS, given(modelId="model")),
    service.DeactivateModel: Row(CURATORS, given(modelId="model")),
    service.StartSync: Row(CURATORS, given(source="nothing")),
    service.ResumeSync: Row(CURATORS, given(syncId="failed")),
    service.CancelSync: Row(CURATORS, given(syncId="dead")),
    service.ListSyncs: Row(ANYBODY),
    service.ReadSync: Row(ANYBODY, given(syncId="failed")),
    service.ListValidations: Row(ANYBODY, given(valid=False)),
    # Each of one's own; see the test of others' below.
    service.AddToken: Row(ANYBODY, given(name="t", service="CIVITAI", token="not-a-real-one")),
    service.ReplaceToken: Row(ANYBODY, given(token="not-a-real-one")),
    service.ActivateToken: Row(ANYBODY, given(active=False)),
    service.RemoveToken: Row(ANYBODY),
    service.ListTokens: Row(ANYBODY),
    service.RotateTokens: Row(ADMINS),
    service.WhoAmI: Row(ANYBODY),
    service.ListPeople: Row(ADMINS),
    service.SetRole: Row(ADMINS, given(userId="other", role="CURATOR")),
    service.SetActive: Row(ADMINS, given(userId="other", active=False)),
}


def test_every_command_has_a_row_and_every_row_a_command():
    assert set(COMMANDS) == set(MATRIX)
    assert len(COMMANDS) == len(set(COMMANDS))
    exported = {value for value in vars(service).values() if isinstance(value, type)}
    assert set(COMMANDS) <= exported


def key_of(role, target):
    return {
        "own": f"{role}-private",
        "foreign": "other-private",
        "public": "other-public",
        "template": "other-template",
        "missing": "nobodys-private",
    }[target]


@pytest.mark.parametrize("command", MATRIX, ids=lambda command: command.__name__)
async def test_who_may(world, command):
    row = MATRIX[command]
    names_one = len(row.expected["USER"]) > 1
    assert names_one == ("deploymentId" in command.model_fields)
    targets = TARGETS if names_one else ("own",)
    cases = [
        (expected, role, key_of(role, target))
        for role in ROLES
        for target, expected in zip(targets, row.expected[role], strict=True)
    ]
    before = await world.snapshot()
    sentences = {}
    for expected, role, key in cases:
        if expected is not OK:
            with pytest.raises(expected) as caught:
                await run(world, command, role, key)
            sentences[role, key] = str(caught.value)
            # One sentence, and nobody else's address in it.
            assert "other@" not in sentences[role, key]
            assert "\n" not in sentences[role, key]
    assert await world.snapshot() == before, "what was refused has changed nothing"
    for role in ROLES:
        if names_one and row.expected[role][1] is UNKNOWN:
            # What is not there and what is not to be seen: nobody can tell them apart.
            hidden = sentences[role, "other-private"]
            missing = sentences[role, "nobodys-private"]
            assert hidden == missing.replace("nobodys-private", "other-private")
    for expected, role, key in cases:
        if expected is OK:
            made = await run(world, command, role, key)
            if isinstance(made, SyncRun):
                await made
            await world.reset()


async def run(world, command, role, key):
    values = dict(MATRIX[command].values(key))
    if "tokenId" in command.model_fields:
        values["tokenId"] = world.tokens[role]
    if "deploymentId" in command.model_fields:
        values["deploymentId"] = key
    return await world.service(role).run(command(**values))


async def test_who_was_deactivated_may_nothing(world):
    # The notebook was open when it happened: what the service knew of the person does not count.
    await world.store.put(world.people["ADMIN"].model_copy(update={"isActive": False}))
    before = await world.snapshot()
    for command in MATRIX:
        with pytest.raises(NotAllowed, match="may not work in this store any more"):
            await run(world, command, "ADMIN", "ADMIN-private")
    assert await world.snapshot() == before


async def test_a_role_that_was_taken_away_counts_at_once(world):
    curator = world.service("CURATOR")
    await curator.run(service.VerifyNode(customNodeId="node"))
    await world.service("ADMIN").run(service.SetRole(userId="CURATOR", role="USER"))
    with pytest.raises(NotAllowed, match="Verify node is for CURATOR or ADMIN, and cur"):
        await curator.run(service.VerifyNode(customNodeId="node", verified=False))


@pytest.mark.parametrize("what", ["node", "model", "package", "lock"])
async def test_ids_of_other_deployments_are_not_believed(world, what):
    """What is in somebody else's deployment cannot be had through one's own."""
    user = world.service("USER")
    command = {
        "node": service.RemoveNode(deploymentId="USER-private", customNodeId="node2"),
        "model": service.EnableModel(deploymentId="USER-private", modelId="model2"),
        "package": service.RemovePackage(
            deploymentId="USER-private", packageId="other-private-git"
        ),
        "lock": service.ReadLock(deploymentId="USER-private", lockId="other-private-lock"),
    }[what]
    other = world.service("other")
    await other.run(service.AddNode(deploymentId="other-private", customNodeId="node2"))
    await other.run(service.AddModel(deploymentId="other-private", modelId="model2"))
    before = await world.snapshot()
    with pytest.raises(NotFound, match=f"USER-private has no .*{what}"):
        await user.run(command)
    assert await world.snapshot() == before


@pytest.mark.parametrize("role", ROLES)
async def test_nobody_touches_somebody_elses_token(world, role):
    """An ADMIN no more than others; what is not there sounds the same."""
    service_ = world.service(role)
    before = await world.snapshot()
    for token_id in (world.tokens["other"], "nobodys"):
        for command in (
            service.ReplaceToken(tokenId=token_id, token="not-a-real-one"),
            service.ActivateToken(tokenId=token_id, active=False),
            service.RemoveToken(tokenId=token_id),
        ):
            with pytest.raises(NotFound, match=f"no token with the id '{token_id}' among yours"):
                await service_.run(command)
    assert await world.snapshot() == before
    listed = await service_.run(service.ListTokens())
    assert [info.id for info in listed if info.source == "stored"] == [world.tokens[role]]
