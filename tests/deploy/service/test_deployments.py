"""Deployments come and go, are copied, shown and shared, each as its owner wants."""

import pytest
from pydantic import ValidationError

from comfynb.deploy.service import (
    AddModel,
    AddNode,
    AddPackage,
    CloneDeployment,
    CreateDeployment,
    DeactivateModel,
    DeactivateNode,
    DeleteDeployment,
    ExportBundle,
    FillDeployment,
    GenerateScript,
    ListDeployments,
    ListLocks,
    MakeLock,
    MakeTemplate,
    PreviewScript,
    PublishDeployment,
    ReadDeployment,
    ReadDownloads,
    ReadUsage,
    ReadWorkflow,
    RecordDownloads,
    RemoveNode,
    SetEnvironment,
    SetSettings,
    UpdateDeployment,
)
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import (
    Deployment,
    DeploymentNode,
    DeploymentUsage,
    DeploymentWorkflow,
    LockRecord,
    ModelDownloadStats,
    SystemPackage,
)


async def names(world, who, **filters):
    page = await world.service(who).run(ListDeployments(limit=500, **filters))
    assert page.total == len(page.items)
    return {line.deployment.id for line in page.items}


async def test_a_list_holds_what_one_may_see_and_nothing_else(world):
    own = {"USER-private", "USER-public", "USER-template"}
    shown = {f"{who}-{kind}" for who in world.people for kind in ("public", "template")}
    assert await names(world, "USER") == own | shown
    assert await names(world, "USER", mine=True) == own
    assert await names(world, "USER", mine=False) == shown - own
    assert await names(world, "USER", template=True) == {f"{who}-template" for who in world.people}
    assert len(await names(world, "ADMIN")) == 12
    assert await names(world, "USER", query="PRIVATE") == {"USER-private"}
    assert await names(world, "USER", query="%") == set()
    assert await names(world, "USER", query="' or true --") == set()


async def test_a_list_has_pages_that_do_not_overlap(world):
    run = world.service("ADMIN").run
    pages = [await run(ListDeployments(page=page, limit=5)) for page in (1, 2, 3, 4)]
    assert [len(page.items) for page in pages] == [5, 5, 2, 0]
    assert {page.total for page in pages} == {12}
    assert {page.pages for page in pages} == {3}
    assert len({line.deployment.id for page in pages for line in page.items}) == 12
    line = pages[0].items[0]
    assert (line.nodes, line.models) == (1, 1)
    for bad in ({"page": 0}, {"limit": 0}, {"limit": 501}, {"query": "x" * 201}):
        with pytest.raises(ValidationError):
            ListDeployments(**bad)


async def test_a_clone_is_private_whole_and_ones_own(world):
    run = world.service("USER").run
    await world.service("other").run(
        SetEnvironment(deploymentId="other-public", variables={"A": "1"})
    )
    clone = await run(CloneDeployment(deploymentId="other-public"))
    assert (clone.userId, clone.isPublic, clone.isTemplate) == ("USER", False, False)
    assert clone.name == "other-public (copy)"
    contents = await run(ReadDeployment(deploymentId=clone.id))
    assert contents.deployment.environmentVars == {"A": "1"}
    assert [one.node.id for one in contents.nodes] == ["node"]
    assert [one.model.id for one in contents.models] == ["model"]
    assert [one.name for one in contents.packages] == ["git"]
    (lock,) = await run(ListLocks(deploymentId=clone.id))
    assert lock.reason == "as in other-public"
    # Two lives from now on.
    await run(RemoveNode(deploymentId=clone.id, customNodeId="node"))
    await run(DeleteDeployment(deploymentId=clone.id))
    kept = await run(ReadDeployment(deploymentId="other-public"))
    assert (len(kept.nodes), len(kept.packages)) == (1, 1)
    assert await world.store.get(LockRecord, "other-public-lock") is not None


async def test_what_is_deleted_takes_all_its_own_along(world):
    run = world.service("USER").run
    await run(GenerateScript(deploymentId="USER-private"))
    await run(DeleteDeployment(deploymentId="USER-private"))
    mine = {"deploymentId": "USER-private"}
    for model in (DeploymentNode, SystemPackage, LockRecord):
        assert await world.store.count(model, mine) == 0
    assert await world.store.count(DeploymentUsage, mine) == 1, "that scripts were made is kept"


async def test_publishing_and_taking_back(world):
    user, other = world.service("USER"), world.service("other")
    await user.run(PublishDeployment(deploymentId="USER-private"))
    await other.run(ReadDeployment(deploymentId="USER-private"))
    await user.run(PublishDeployment(deploymentId="USER-private", public=False))
    with pytest.raises(NotFound):
        await other.run(ReadDeployment(deploymentId="USER-private"))
    made = await user.run(MakeTemplate(deploymentId="USER-private", category="faces"))
    assert (made.isTemplate, made.templateCategory) == (True, "faces")
    await other.run(CloneDeployment(deploymentId="USER-private"))
    made = await user.run(MakeTemplate(deploymentId="USER-private", template=False))
    assert (made.isTemplate, made.templateCategory) == (False, None)


async def test_what_is_not_given_stays_as_it_is(world):
    run = world.service("USER").run
    mine = {"deploymentId": "USER-private"}
    await run(UpdateDeployment(**mine, description="for faces"))
    made = await run(UpdateDeployment(**mine, name="faces"))
    assert (made.name, made.description) == ("faces", "for faces")
    made = await run(UpdateDeployment(**mine, description=None))
    assert (made.name, made.description) == ("faces", None)


async def test_settings_that_do_not_fit_change_nothing(world):
    run = world.service("USER").run
    before = await world.snapshot()
    mine = {"deploymentId": "USER-private"}
    for command, sentence in (
        (SetSettings(**mine, settings={"cuda_version": 12}), "cuda_version"),
        (SetSettings(**mine, settings={"custom_pip_index": "file:///x"}), "http:// or https://"),
        (SetSettings(**mine, settings={"a": {"b": [{"apiKey": "x"}]}}), "'a.b.apiKey' looks like"),
        (SetEnvironment(**mine, variables={"A B": "1"}), "'A B' is no name"),
        (SetEnvironment(**mine, variables={"A": "\0"}), "NUL"),
        (AddPackage(**mine, packageType="APT", name="git; id"), "must be a Debian package's"),
        (AddPackage(**mine, packageType="PIP", name="-r"), "must be a Python package's"),
    ):
        with pytest.raises(InvalidValue, match=sentence):
            await run(command)
    assert await world.snapshot() == before


async def test_one_package_of_a_name_is_enough(world):
    run = world.service("USER").run
    mine = {"deploymentId": "USER-private", "packageType": "PIP", "name": "numpy"}
    await run(AddPackage(**mine, version=">=2"))
    await run(AddPackage(**mine, version="==2.3.1"))
    contents = await run(ReadDeployment(deploymentId="USER-private"))
    assert [(one.name, one.version) for one in contents.packages] == [
        ("git", None),
        ("numpy", "==2.3.1"),
    ]


@pytest.mark.parametrize(
    "folder",
    [
        *("/etc", "models", "models/", "models/..", "models/../x", "custom_nodes/x/models"),
        *("models/a\\b", "models/CON", "models/x.", "models/ x", "models/a\nb", "models/$(id)"),
        *("models/cafe\u0301", "loras", "models/a:b", "~/models/x", "models//x", "models/-x"),
    ],
)
async def test_models_go_nowhere_else(world, folder):
    with pytest.raises(InvalidValue, match="is no folder for models"):
        await world.service("USER").run(
            AddModel(deploymentId="USER-private", modelId="model2", targetPath=folder)
        )


@pytest.mark.parametrize("name", ["x.sh", "../x.ckpt", "x", ".ckpt/..", "a/b.ckpt", "x.ckpt "])
async def test_models_have_names_of_models(world, name):
    with pytest.raises(InvalidValue, match="is no name of a model's file"):
        await world.service("USER").run(
            AddModel(deploymentId="USER-private", modelId="model2", customName=name)
        )


async def test_a_model_goes_where_it_belongs(world):
    run = world.service("USER").run
    choice = await run(AddModel(deploymentId="USER-private", modelId="model2"))
    assert choice.targetPath == "models/loras"
    choice = await run(
        AddModel(
            deploymentId="USER-private",
            modelId="model2",
            targetPath="models/loras/style (new)",
            customName="mine.safetensors",
        )
    )
    assert choice.customName == "mine.safetensors"


async def test_what_was_withdrawn_is_not_put_into_anything(world):
    curator, user = world.service("CURATOR"), world.service("USER")
    await curator.run(DeactivateNode(customNodeId="node2"))
    await curator.run(DeactivateModel(modelId="model2"))
    with pytest.raises(UsageError, match="Pack node2 is not active in the catalogue"):
        await user.run(AddNode(deploymentId="USER-private", customNodeId="node2"))
    with pytest.raises(UsageError, match="Model model2 is not active in the catalogue"):
        await user.run(AddModel(deploymentId="USER-private", modelId="model2"))
    await curator.run(DeactivateNode(customNodeId="node2", active=True))
    await user.run(AddNode(deploymentId="USER-private", customNodeId="node2"))


async def test_filling_is_all_or_nothing(world):
    run = world.service("USER").run
    before = await world.snapshot()
    for broken in (
        {"nodes": [{"customNodeId": "node2"}], "models": [{"modelId": "x", "targetPath": "y"}]},
        {"nodes": [{"customNodeId": "node2"}, {"customNodeId": "nobodys"}]},
        {"models": [{"modelId": "model2", "targetPath": "custom_nodes"}]},
        {"nodes": [{"customNodeId": "node2", "config": {"api_key": "x"}}]},
    ):
        with pytest.raises((NotFound, InvalidValue)):
            await run(FillDeployment(deploymentId="USER-private", **broken))
    assert await world.snapshot() == before


async def test_a_workflow_is_kept_for_its_owner_alone(world):
    user, other, admin = (world.service(name) for name in ("USER", "other", "ADMIN"))
    made_from = {"name": "faces", "apiJson": {"1": {"class_type": "A"}}, "choices": {"A": "b"}}
    assert await user.run(ReadWorkflow(deploymentId="USER-public")) is None
    for name in ("portraits", "faces"):
        fill = FillDeployment(deploymentId="USER-public", workflow={**made_from, "name": name})
        await user.run(fill)
    await user.run(FillDeployment(deploymentId="USER-public"))
    row = await user.run(ReadWorkflow(deploymentId="USER-public"))
    assert (row.name, row.apiJson, row.choices) == tuple(made_from.values())
    assert await admin.run(ReadWorkflow(deploymentId="USER-public")) == row
    # Who sees the deployment does not see what was typed into the workflow.
    assert await other.run(ReadWorkflow(deploymentId="USER-public")) is None
    for who, known in ((user, True), (other, False)):
        clone = await who.run(CloneDeployment(deploymentId="USER-public"))
        copied = await who.run(ReadWorkflow(deploymentId=clone.id))
        assert (copied is not None) is known
    assert (
        "class_type"
        not in (await user.run(ExportBundle(deploymentId="USER-public"))).model_dump_json()
    )
    await user.run(DeleteDeployment(deploymentId="USER-public"))
    assert await world.store.count(DeploymentWorkflow, {"deploymentId": "USER-public"}) == 0


async def test_a_script_is_counted_and_remembered_by_its_owner_only(world):
    made = await world.service("USER").run(
        GenerateScript(deploymentId="other-public", target="bash")
    )
    assert made.rendered.files["start.sh"] == "# bash other-public"
    foreign = await world.store.get(Deployment, "other-public")
    assert (foreign.generatedScript, foreign.lastGenerated) == (None, None)
    await world.service("other").run(GenerateScript(deploymentId="other-public", target="docker"))
    own = await world.store.get(Deployment, "other-public")
    assert (own.generatedScript, own.scriptType) == ("# docker other-public", "docker")
    assert own.lastGenerated is not None
    usage = await world.service("USER").run(ReadUsage(deploymentId="other-public"))
    assert (usage.total, usage.by_target) == (2, {"bash": 1, "docker": 1})
    looked = await world.service("other").run(
        PreviewScript(deploymentId="other-public", target="runpod")
    )
    assert (looked.rendered.files["start.sh"], looked.usage) == ("# runpod other-public", None)
    assert await world.service("USER").run(ReadUsage(deploymentId="other-public")) == usage
    assert (await world.store.get(Deployment, "other-public")).scriptType == "docker"
    for row in usage.newest:
        assert (row.userAgent, row.ipAddress) == ("test/1", None), "no address is kept"


async def test_a_script_needs_a_lock(world):
    run = world.service("USER").run
    made = await run(CreateDeployment(name="new"))
    with pytest.raises(NotFound, match="new has no lock yet"):
        await run(GenerateScript(deploymentId=made.id))
    assert (await run(ReadUsage(deploymentId=made.id))).total == 0


async def test_a_lock_like_the_newest_is_not_kept_twice(world):
    run = world.service("USER").run
    first = await run(MakeLock(deploymentId="USER-private", reason="why"))
    again = await run(MakeLock(deploymentId="USER-private"))
    assert again.record.id == first.record.id
    assert len(await run(ListLocks(deploymentId="USER-private"))) == 2
    await run(UpdateDeployment(deploymentId="USER-private", name="other name"))
    third = await run(MakeLock(deploymentId="USER-private"))
    assert third.record.id != first.record.id


async def test_a_deployment_that_went_while_it_was_locked_gets_none(world):
    """Making a lock takes minutes: who may what is asked again when it is written."""
    before = world.parts

    async def slow(contents, former, upgrade):
        await world.service("ADMIN").run(DeleteDeployment(deploymentId="USER-private"))
        return await before.lock(contents, former, upgrade)

    service = world.service("USER")
    service.parts = type(before)(lock=slow)
    with pytest.raises(NotFound, match="no deployment 'USER-private'"):
        await service.run(MakeLock(deploymentId="USER-private"))
    assert await world.store.count(LockRecord, {"deploymentId": "USER-private"}) == 0


async def test_downloads_are_counted(world):
    run = world.service("USER").run
    for _ in range(2):
        await run(RecordDownloads(deploymentId="USER-private", modelIds=["model", "model"]))
    (top,) = await run(ReadDownloads())
    assert (top.model.id, top.count) == ("model", 2)
    with pytest.raises(NotFound, match="has no model 'model2'"):
        await run(RecordDownloads(deploymentId="USER-private", modelIds=["model", "model2"]))
    assert await world.store.count(ModelDownloadStats) == 1


async def test_a_part_that_is_missing_is_said_so(world):
    service = world.service("USER")
    service.parts = type(world.parts)()
    with pytest.raises(UsageError, match="made without a maker of locks"):
        await service.run(MakeLock(deploymentId="USER-private"))
