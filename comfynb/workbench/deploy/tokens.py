"""``wb.tokens``: your tokens for Hugging Face and CivitAI, encrypted; written, never read back."""

import getpass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from comfynb.deploy.service import (
    ActivateToken,
    AddToken,
    ListTokens,
    RemoveToken,
    ReplaceToken,
    RotateTokens,
)
from comfynb.deploy.tokens import Rotation, TokenInfo
from comfynb.engine.host import Doing
from comfynb.errors import NotFound, UsageError
from comfynb.models import Service
from comfynb.widgets.composite import Composite
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.panels import token_panel
from comfynb.workbench.deploy.showing import Shown, day

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Tokens"]


class Tokens(Shown):
    """``wb.tokens``: a table of names where it is shown, never of tokens.

    ``wb.tokens.add("huggingface")`` asks for the token without echo, so that no cell holds it. They
    are used to look up and check files; scripts name only the variables HF_TOKEN and CIVITAI_TOKEN.
    The store holds them encrypted, and the key lies elsewhere: a copy of the store is no use
    without it, but programs of your own account can read both.
    """

    def __init__(self, session: "DeploySession") -> None:
        self._session = session

    def add(
        self,
        service: Service | str,
        token: str | SecretStr | None = None,
        *,
        name: str | None = None,
    ) -> TokenInfo:
        """Keep a token for "huggingface" or "civitai"; without ``token`` it is asked for.

        Raises:
            UsageError: there is no such service.
            InvalidValue: it is no token.
        """
        kind = _service(service)
        return self._session.run(
            AddToken(name=name or kind.value.lower(), service=kind, token=_given(token))
        )

    def replace(self, name: str, token: str | SecretStr | None = None) -> TokenInfo:
        """Put a new token in the place of another; raises NotFound."""
        return self._session.run(ReplaceToken(tokenId=self._id(name), token=_given(token)))

    def use(self, name: str, active: bool = True) -> TokenInfo:
        """Use a token, or leave it aside; raises NotFound."""
        return self._session.run(ActivateToken(tokenId=self._id(name), active=active))

    def remove(self, name: str) -> None:
        """Forget a token, by name or id; raises NotFound."""
        self._session.run(RemoveToken(tokenId=self._id(name)))

    def rotate(self, *, forget: bool = False) -> Doing[Rotation]:
        """Encrypt every token of the store with a new key; for an ADMIN. ``await`` or ``.wait()``.

        ``forget`` drops the former keys, which other stores on this machine may still need.
        """
        return self._session.do(RotateTokens(forget=forget), "rotate the key")

    @property
    def list(self) -> list[TokenInfo]:
        """What may be shown of them, those of the environment included."""
        return self._session.run(ListTokens())

    def _id(self, name: str) -> str:
        found = [one for one in self.list if one.id is not None and name in {one.id, one.name}]
        if len(found) != 1 or found[0].id is None:
            count = "no token" if not found else f"{len(found)} tokens"
            raise NotFound(f"You have {count} called {name!r:.80}; wb.tokens lists them.")
        return found[0].id

    def _heading(self) -> str:
        count = len(self.list)
        return f"{count} tokens" if count else 'no tokens yet: wb.tokens.add("huggingface")'

    def _table(self) -> StaticTable:
        rows = [
            (
                *(one.name, one.service.value.lower(), f"…{one.last4}" if one.last4 else ""),
                one.problem or ("" if one.isActive else "left aside"),
                *(one.source, day(one.createdAt), day(one.lastUsed)),
            )
            for one in self.list
        ]
        columns = ["name", "service", "ends in", "state", "kept", "added (UTC)", "last used (UTC)"]
        return StaticTable(columns, rows)

    def _panel(self) -> Composite | None:
        return token_panel(self)


def _service(service: Service | str) -> Service:
    try:
        return Service(service.upper())
    except ValueError:
        known = ", ".join(one.value.lower() for one in Service)
        raise UsageError(f"There are tokens for {known}, not for {service!r:.40}.") from None


def _given(token: str | SecretStr | None) -> SecretStr:
    if token is None:
        token = getpass.getpass("Token (not shown): ")
    return token if isinstance(token, SecretStr) else SecretStr(token)
