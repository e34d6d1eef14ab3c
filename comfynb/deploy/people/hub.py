"""What JupyterHub says about the person whose server this is, if it says so soon."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from comfynb.models import Role

__all__ = ["CURATORS", "HUB_TIMEOUT", "HubAnswer", "ask_hub"]

CURATORS = "comfynb-curators"
"""The Hub's group or role whose members are CURATOR; COMFYNB_CURATORS names another one."""

HUB_TIMEOUT = 2.0
"""Seconds that the Hub may keep a Workbench from opening."""

_MOST_BYTES = 2**20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """The Hub's record of a user; ``groups`` are empty where its token may not read them."""

    name: str
    admin: bool = False
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    def role(self, curators: str = CURATORS) -> Role:
        """ADMIN for the Hub's admins, CURATOR for the members of ``curators``, else USER."""
        if self.admin or "admin" in self.roles:
            return Role.ADMIN
        return Role.CURATOR if curators in self.groups | self.roles else Role.USER


async def ask_hub(
    environ: Mapping[str, str], name: str, *, seconds: float = HUB_TIMEOUT
) -> HubAnswer | None:
    """Ask the Hub for its record of ``name``; None where it does not answer, or not about them.

    The Hub is the operator's own server, named by the environment that it started us in. Its
    address is private and often plain HTTP, so the way out for public servers is not for it. The
    token goes to that address only, and never along a redirect.
    """
    address, token = environ.get("JUPYTERHUB_API_URL", ""), environ.get("JUPYTERHUB_API_TOKEN", "")
    if not address or not token:
        return None
    try:
        async with asyncio.timeout(seconds):
            return _answer(await _get(address, token), name)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        # Not the error's text: aiohttp's may quote a header.
        _log.info("JupyterHub did not say who %s is (%s).", name, type(error).__name__)
        return None


async def _get(address: str, token: str) -> Any:
    url = URL(address.rstrip("/") + "/user")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("JUPYTERHUB_API_URL is no address")
    async with (
        aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.get(
            url, headers={"Authorization": f"token {token}"}, allow_redirects=False
        ) as answer,
    ):
        if answer.status != 200:
            raise ValueError("the Hub refused")
        body = await answer.content.read(_MOST_BYTES)
        while not answer.content.at_eof() and len(body) < _MOST_BYTES:
            body += await answer.content.read(_MOST_BYTES - len(body))
        if not answer.content.at_eof():
            raise ValueError("the Hub's answer is too long")
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the Hub's answer is too deep") from None


def _answer(data: Any, name: str) -> HubAnswer:
    if not isinstance(data, dict) or data.get("name") != name:
        raise ValueError("the Hub's answer is not about this user")
    return HubAnswer(
        name=name,
        admin=data.get("admin") is True,
        groups=_texts(data.get("groups")),
        roles=_texts(data.get("roles")),
    )


def _texts(value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        return frozenset()
    return frozenset(one for one in value if isinstance(one, str))
