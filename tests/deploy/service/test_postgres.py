"""The same commands on PostgreSQL, where several people really work at once."""

import asyncio

import pytest

from comfynb.deploy.people import current_user
from comfynb.deploy.service import (
    AddNode,
    CloneDeployment,
    CreateDeployment,
    DeployService,
    ExportBundle,
    ImportBundle,
    ListDeployments,
    ListPeople,
    PublishDeployment,
    ReadDeployment,
    ReadDownloads,
    RegisterNode,
    SetRole,
)
from comfynb.errors import NotFound, UsageError
from comfynb.models import Role
from comfynb.store import open_store


@pytest.fixture
def store(postgres_server):
    store = open_store(postgres_server.new())
    yield store
    store.close().result(30)


async def test_a_day_on_postgresql(store):
    ada = DeployService(store, await current_user(store, "ada"))
    bob = DeployService(store, await current_user(store, "bob"))
    made = await ada.run(CreateDeployment(name="Faces", description="for <b>Bob</b>"))
    node = await ada.run(RegisterNode(githubUrl="https://github.com/example/pack"))
    with pytest.raises(UsageError, match="in the catalogue already"):
        await ada.run(RegisterNode(githubUrl="https://github.com/Example/Pack.git"))
    await ada.run(AddNode(deploymentId=made.id, customNodeId=node.id))
    with pytest.raises(NotFound):
        await bob.run(ReadDeployment(deploymentId=made.id))
    assert (await bob.run(ListDeployments())).total == 0
    await ada.run(PublishDeployment(deploymentId=made.id))
    (line,) = (await bob.run(ListDeployments(query="BOB", mine=False))).items
    assert (line.deployment.id, line.owner, line.nodes, line.mine) == (made.id, "ada", 1, False)
    clone = await bob.run(CloneDeployment(deploymentId=made.id))
    text = (await bob.run(ExportBundle(deploymentId=clone.id))).model_dump_json()
    again = await bob.run(ImportBundle(bundle=text))
    contents = await bob.run(ReadDeployment(deploymentId=again.id))
    assert [one.node.id for one in contents.nodes] == [node.id]
    assert await bob.run(ReadDownloads()) == []


async def test_two_admins_who_demote_one_another_leave_one(store):
    people = [await current_user(store, name) for name in ("ada", "bob")]
    services = [DeployService(store, person) for person in people]
    await services[0].run(SetRole(userId=people[1].id, role=Role.ADMIN))
    done = await asyncio.gather(
        services[0].run(SetRole(userId=people[1].id, role=Role.USER)),
        services[1].run(SetRole(userId=people[0].id, role=Role.USER)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, BaseException) for one in done) == 1
    assert [(await current_user(store, name)).role for name in ("ada", "bob")].count(
        Role.ADMIN
    ) == 1


async def test_the_last_admin_stays(store):
    ada = await current_user(store, "ada")
    service = DeployService(store, ada)
    with pytest.raises(UsageError, match="ada@localhost is the only ADMIN"):
        await service.run(SetRole(userId=ada.id, role=Role.USER))
    assert [one.role for one in await service.run(ListPeople())] == [Role.ADMIN]
