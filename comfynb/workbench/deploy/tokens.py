"""``wb.tokens``: your tokens for Hugging Face and CivitAI, encrypted; written, never read back."""

from typing import TYPE_CHECKING

from comfynb.models import Service
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.showing import Shown

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Tokens"]


class Tokens(Shown):
    """``wb.tokens``: a table of names where it is shown, never of tokens.

    ``wb.tokens.add("huggingface")`` asks for the token without echo. They are used for looking up
    and checking files; scripts name only the variables HF_TOKEN and CIVITAI_TOKEN.
    """

    def __init__(self, session: "DeploySession") -> None:
        self._session = session

    def add(
        self, service: Service | str, token: str | None = None, *, name: str | None = None
    ) -> None:
        """Keep a token, encrypted; without ``token`` it is asked for, so no cell holds it."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Forget a token; raises NotFound."""
        raise NotImplementedError

    def rotate(self) -> int:
        """Encrypt all your tokens with a new key; returns how many there were."""
        raise NotImplementedError

    def _heading(self) -> str:
        return 'no tokens yet: wb.tokens.add("huggingface")'

    def _table(self) -> StaticTable:
        return StaticTable(["name", "service", "added", "last used"], [])
