"""Whoever opens a store is in it, once; the first is its ADMIN, and who was barred stays out."""

import asyncio

import pytest

from comfynb.deploy.people import HubAnswer, current_user
from comfynb.deploy.people import person as module
from comfynb.errors import NotAllowed
from comfynb.models import Role, User
from comfynb.store import open_store

ENVIRON = {"COMFYNB_USER": "ada", "PATH": ""}


@pytest.fixture(params=["duckdb", "postgres"])
def store(request, tmp_path):
    place = str(tmp_path / "lab.duckdb")
    if request.param == "postgres":
        place = request.getfixturevalue("postgres_server").new()
    store = open_store(place)
    yield store
    store.close().result(30)


async def test_the_first_is_admin_and_the_second_is_not(store):
    first = await current_user(store, environ=ENVIRON)
    assert (first.email, first.role, first.found) == ("ada@localhost", Role.ADMIN, "COMFYNB_USER")
    assert (first.name, first.is_new, first.hub) == ("ada", True, None)
    second = await current_user(store, "bob@example.org", environ=ENVIRON)
    assert (second.email, second.role) == ("bob@example.org", Role.USER)
    again = await current_user(store, environ=ENVIRON)
    assert (again.id, again.role, again.is_new) == (first.id, Role.ADMIN, False)
    assert again.user.lastLoginAt > first.user.lastLoginAt
    stored = await store.find(User, order_by="email")
    assert [user.email for user in stored] == ["ada@localhost", "bob@example.org"]
    assert stored[0].lastLoginAt == again.user.lastLoginAt


async def test_many_who_come_at_once_are_each_there_once(store):
    names = ["ada", "bob", "ada", "cleo", "ada", "bob"]
    people = await asyncio.gather(*(current_user(store, name, environ=ENVIRON) for name in names))
    assert sum(person.role is Role.ADMIN for person in {p.id: p for p in people}.values()) == 1
    assert await store.count(User) == 3
    assert len({person.id for person in people}) == 3


async def test_who_was_deactivated_is_kept_out_and_not_noted(store):
    person = await current_user(store, environ=ENVIRON)
    barred = person.user.model_copy(update={"isActive": False})
    await store.put(barred)
    with pytest.raises(NotAllowed, match="ada@localhost may not work in this store any more"):
        await current_user(store, environ=ENVIRON)
    assert (await store.get(User, person.id)).lastLoginAt == barred.lastLoginAt


async def test_the_hub_says_a_role_once_and_then_the_store_does(store, monkeypatch):
    answers = {"cleo": HubAnswer("cleo", groups=frozenset({"artists"})), "dora": None}

    async def ask(environ, name, *, seconds):
        return answers[name]

    monkeypatch.setattr(module, "ask_hub", ask)
    await current_user(store, environ=ENVIRON)
    environ = {"JUPYTERHUB_USER": "cleo", "COMFYNB_CURATORS": "artists", "PATH": ""}
    cleo = await current_user(store, environ=environ)
    assert (cleo.role, cleo.found, cleo.hub) == (Role.CURATOR, "JUPYTERHUB_USER", answers["cleo"])
    dora = await current_user(store, environ={**environ, "JUPYTERHUB_USER": "dora"})
    assert (dora.role, dora.hub) == (Role.USER, None)
    await store.put(cleo.user.model_copy(update={"role": Role.USER}))
    assert (await current_user(store, environ=environ)).role is Role.USER


async def test_the_hub_is_asked_only_about_its_own_people(store, monkeypatch):
    async def ask(environ, name, *, seconds):
        raise AssertionError("nobody asked for that")

    monkeypatch.setattr(module, "ask_hub", ask)
    environ = {**ENVIRON, "JUPYTERHUB_USER": "cleo"}
    assert (await current_user(store, environ=environ)).found == "COMFYNB_USER"
    assert (await current_user(store, "bob", environ=environ)).found == "given"
