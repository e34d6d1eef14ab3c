"""The Hub is asked once, briefly, and believed only about the person who asks."""

import json

import pytest
from aiohttp import web

from comfynb.deploy.people import HubAnswer
from comfynb.deploy.people.hub import ask_hub
from comfynb.models import Role

TOKEN = "hub-secret-token"


@pytest.fixture
async def hub():
    """A Hub on loopback: ``hub.answer`` is what /hub/api/user does; ``hub.asked`` who asked."""

    class Hub:
        def __init__(self):
            self.asked = []
            self.answer = lambda request: web.json_response({"name": "ada"})

        async def handle(self, request):
            self.asked.append((request.path, request.headers.get("Authorization")))
            made = self.answer(request)
            return await made if hasattr(made, "__await__") else made

        def environ(self):
            url = f"http://127.0.0.1:{self.port}/hub/api"
            return {"JUPYTERHUB_API_URL": url, "JUPYTERHUB_API_TOKEN": TOKEN}

    hub = Hub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hub.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hub.port = site._server.sockets[0].getsockname()[1]
    yield hub
    await runner.cleanup()


async def test_it_says_who_somebody_is(hub):
    hub.answer = lambda request: web.json_response(
        {"name": "ada", "admin": True, "groups": ["a", 3], "roles": ["user"], "scopes": []}
    )
    found = await ask_hub(hub.environ(), "ada")
    assert found == HubAnswer("ada", True, frozenset({"a"}), frozenset({"user"}))
    assert hub.asked == [("/hub/api/user", f"token {TOKEN}")]


@pytest.mark.parametrize(
    ("answer", "role"),
    [
        (HubAnswer("a"), Role.USER),
        (HubAnswer("a", groups=frozenset({"others"})), Role.USER),
        (HubAnswer("a", groups=frozenset({"comfynb-curators"})), Role.CURATOR),
        (HubAnswer("a", roles=frozenset({"comfynb-curators"})), Role.CURATOR),
        (HubAnswer("a", roles=frozenset({"admin"})), Role.ADMIN),
        (HubAnswer("a", admin=True, groups=frozenset({"comfynb-curators"})), Role.ADMIN),
    ],
)
def test_what_it_says_becomes_a_role(answer, role):
    assert answer.role() is role


def test_the_curators_group_has_any_name():
    assert HubAnswer("a", groups=frozenset({"artists"})).role("artists") is Role.CURATOR


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=403),
        lambda: web.json_response({"name": "bob", "admin": True}),
        lambda: web.json_response(["ada"]),
        lambda: web.Response(text="<html>"),
        lambda: web.Response(text="[" * 100_000),
        lambda: web.Response(text=json.dumps({"name": "ada", "more": "x" * 2**20})),
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
        lambda: web.json_response({"name": "ada", "admin": "yes", "groups": "admin"}),
    ],
    ids=["refused", "other", "list", "html", "deep", "long", "redirect", "odd"],
)
async def test_an_odd_answer_makes_nobody_an_admin(hub, answer):
    hub.answer = lambda request: answer()
    found = await ask_hub(hub.environ(), "ada")
    assert found is None or found.role() is Role.USER
    assert len(hub.asked) == 1, "no redirect was followed"


async def test_a_hub_that_is_silent_or_gone_keeps_nobody(hub, caplog):
    import asyncio

    hub.answer = lambda request: asyncio.sleep(60)
    with caplog.at_level("INFO"):
        assert await ask_hub(hub.environ(), "ada", seconds=0.05) is None
        gone = {**hub.environ(), "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api"}
        assert await ask_hub(gone, "ada") is None
        for odd in ("file:///etc/passwd", "http://", "nonsense"):
            assert await ask_hub({**gone, "JUPYTERHUB_API_URL": odd}, "ada") is None
    assert await ask_hub({"JUPYTERHUB_API_URL": "http://127.0.0.1:9"}, "ada") is None
    assert "JupyterHub did not say who ada is" in caplog.text
    assert TOKEN not in caplog.text
