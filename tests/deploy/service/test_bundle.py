"""A bundle carries a deployment to other people, and nothing else into or out of a store."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.service import (
    AddToken,
    ExportBundle,
    ImportBundle,
    ListLocks,
    ReadDeployment,
    RegisterNode,
    SetEnvironment,
    SetSettings,
    UpdateDeployment,
    unpack,
)
from comfynb.errors import InvalidValue
from comfynb.models import CustomNode, Deployment, Model

NODE = {"name": "Pack", "githubUrl": "https://github.com/example/pack"}
MODEL = {
    "name": "m",
    "type": "LORA",
    "source": "DIRECT",
    "downloadUrl": "https://example.org/m.safetensors",
    "filename": "m.safetensors",
    "targetPath": "models/loras",
}
GOOD = {
    "format": "comfynb-deployment",
    "version": 1,
    "name": "shared",
    "nodes": [NODE],
    "models": [MODEL],
    "packages": [{"packageType": "APT", "name": "git"}],
}


def with_(**fields):
    return json.dumps({**GOOD, **fields})


async def test_there_and_back_is_the_same_without_anybodys_id(world):
    user = world.service("USER")
    mine = {"deploymentId": "USER-private"}
    await user.run(AddToken(name="t", service="CIVITAI", token="not-a-real-token"))
    await user.run(UpdateDeployment(**mine, name="faces", description="for <faces>"))
    await user.run(SetEnvironment(**mine, variables={"A": "it's $(id)\n"}))
    await user.run(SetSettings(**mine, settings={"cuda_version": "12.8"}))
    text = (await user.run(ExportBundle(**mine))).model_dump_json()
    for secret in ('"USER"', "user@example.org", "not-a-real-token", "secret-of", "userId"):
        assert secret not in text
    other = world.service("other")
    made = await other.run(ImportBundle(bundle=text))
    assert (made.userId, made.isPublic, made.isTemplate) == ("other", False, False)
    contents = await other.run(ReadDeployment(deploymentId=made.id))
    before = await user.run(ReadDeployment(**mine))
    for one in ("name", "description", "environmentVars", "customSettings", "scriptType"):
        assert getattr(contents.deployment, one) == getattr(before.deployment, one)
    # The catalogue's own rows are used, not made again.
    assert [one.node for one in contents.nodes] == [one.node for one in before.nodes]
    assert [one.model for one in contents.models] == [one.model for one in before.models]
    assert [one.name for one in contents.packages] == ["git"]
    (lock,) = await other.run(ListLocks(deploymentId=made.id))
    (original,) = await user.run(ListLocks(**mine))
    assert (lock.content, lock.reason) == (original.content, "came with the bundle")
    again = (await other.run(ExportBundle(deploymentId=made.id))).model_dump_json()
    assert again == text


async def test_what_nobody_has_looked_at_is_neither_found_nor_believed(world):
    bundle = with_(nodes=[{**NODE, "name": "<b>Pack</b>"}])
    made = await world.service("USER").run(ImportBundle(bundle=bundle, name="mine"))
    assert made.name == "mine"
    (node,) = await world.store.find(CustomNode, where={"githubUrl": NODE["githubUrl"]})
    assert (node.isActive, node.isVerified, node.nodeClasses) == (False, False, [])
    (model,) = await world.store.find(Model, where={"downloadUrl": MODEL["downloadUrl"]})
    assert (model.isActive, model.isVerified) == (False, False)


async def test_another_spelling_of_a_repository_is_the_same_pack(world):
    row = await world.service("CURATOR").run(RegisterNode(githubUrl=NODE["githubUrl"]))
    bundle = with_(nodes=[{**NODE, "githubUrl": "https://GitHub.com/Example/Pack.git/"}])
    made = await world.service("USER").run(ImportBundle(bundle=bundle))
    contents = await world.service("USER").run(ReadDeployment(deploymentId=made.id))
    assert [one.node.id for one in contents.nodes] == [row.id]
    assert contents.nodes[0].node == row, "a bundle changes nothing that is in the catalogue"


HOSTILE = {
    "no JSON": ("{", "it is not JSON"),
    "too deep": ("[" * 200_000, "it is not JSON"),
    "a list": ("[]", "its format is not comfynb-deployment"),
    "other format": (with_(format="x"), "its format is not comfynb-deployment"),
    "newer": (with_(version=2), "version 1: upgrade comfynb"),
    "twice": ('{"format": "x", "format": "comfynb-deployment"}', "a key is in it twice"),
    "too big": (with_(description="x" * 9_000_000), "9 MiB"),
    "a user": (with_(userId="ADMIN"), "there is no such field"),
    "an id": (with_(models=[{**MODEL, "id": "model"}]), "there is no such field"),
    "verified": (with_(nodes=[{**NODE, "isVerified": True}]), "there is no such field"),
    "classes": (with_(nodes=[{**NODE, "nodeClasses": ["KSampler"]}]), "there is no such field"),
    "tokens": (with_(tokens=["x"]), "there is no such field"),
    "no name": (with_(name=" "), "must not be empty"),
    "escape": (with_(name="\x1b[2J"), "control characters"),
    "secret": (with_(environmentVars={"HF_TOKEN": "x"}), "HF_TOKEN' looks like a secret"),
    "hijack": (with_(environmentVars={"LD_PRELOAD": "/x.so"}), "changes which programs"),
    "settings": (with_(customSettings={"api_key": "x"}), "api_key' looks like a secret"),
    "config": (with_(nodes=[{**NODE, "config": {"password": "x"}}]), "looks like a secret"),
    "file": (with_(nodes=[{**NODE, "githubUrl": "file:///etc"}]), "address of a node pack"),
    "ext": (with_(nodes=[{**NODE, "githubUrl": "ext::sh -c id"}]), "address of a node pack"),
    "http": (with_(models=[{**MODEL, "downloadUrl": "http://a.org/m"}]), "https://"),
    "userinfo": (with_(models=[{**MODEL, "downloadUrl": "https://a:b@c.org/m"}]), "user name"),
    "path": (with_(models=[{**MODEL, "targetPath": "../.."}]), "is no folder for models"),
    "nodes' folder": (with_(models=[{**MODEL, "targetPath": "custom_nodes/x"}]), "no folder for"),
    "file name": (with_(models=[{**MODEL, "filename": "../x"}]), "file name without a folder"),
    "program": (with_(models=[{**MODEL, "customName": "x.sh"}]), "no name of a model's file"),
    "size": (with_(models=[{**MODEL, "fileSize": -1}]), "greater than or equal to 0"),
    "huge": (with_(models=[{**MODEL, "fileSize": 2**70}]), "less than"),
    "package": (with_(packages=[{"packageType": "APT", "name": "-o=x"}]), "Debian package's"),
    "pip": (with_(packages=[{"packageType": "PIP", "name": "x", "installUrl": "file:///"}]), "git"),
    "two packs": (with_(nodes=[NODE, {**NODE, "name": "o"}]), "two of its node packs have"),
    "two models": (with_(models=[MODEL, MODEL]), "two of its models have the same address"),
    "many": (with_(nodes=[NODE] * 5001), "at most 5000"),
    "lock": (with_(lock={"name": "x", "comfyui": {"version": "1", "commit": "main"}}), "40 hexa"),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_bundle_is_refused_in_words_and_leaves_nothing(world, what):
    bundle, sentence = HOSTILE[what]
    before = await world.snapshot()
    with pytest.raises(InvalidValue) as caught:
        await world.service("USER").run(ImportBundle(bundle=bundle))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert await world.snapshot() == before


async def test_a_stored_secret_does_not_leave(world):
    """A row of another program's making, with a secret in it: it stays here."""
    deployment = await world.store.get(Deployment, "USER-private")
    deployment.environmentVars = {"HF_TOKEN": "hf_the_value"}
    await world.store.put(deployment)
    with pytest.raises(InvalidValue, match=r"cannot be shared: .*HF_TOKEN.* looks like") as caught:
        await world.service("USER").run(ExportBundle(deploymentId="USER-private"))
    assert "hf_the_value" not in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), values) | values)
def test_whatever_is_in_it_it_is_read_or_refused(fields):
    value = {**GOOD, **fields} if isinstance(fields, dict) else fields
    try:
        bundle = unpack(json.dumps(value))
    except InvalidValue:
        return
    assert unpack(bundle.model_dump_json()) == bundle
