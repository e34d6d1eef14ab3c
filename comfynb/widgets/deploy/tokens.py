"""Tokens: a form that takes one and never shows it, and a list of their names."""

from collections.abc import Callable, Sequence

import ipywidgets

from comfynb.deploy.tokens import TokenInfo
from comfynb.models import Service
from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.deploy.look import DeployBox, told
from comfynb.widgets.deploy.secret_input import SecretInput
from comfynb.widgets.deploy.views import Answer
from comfynb.widgets.live import call
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.tables import StaticTable

__all__ = ["TokenForm", "tokens_table"]

_NAMES = {Service.HUGGINGFACE: "Hugging Face", Service.CIVITAI: "CivitAI"}
Tokens = Sequence[TokenInfo]


class TokenForm(DeployBox):
    """``add(service, name, token)``, ``use(id, on)`` and ``remove(id)`` give the tokens as then.

    A token goes to ``add`` and nowhere else: neither this widget nor the page keeps it.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        add: Callable[[Service, str, str], Answer[Tokens]],
        use: Callable[[str, bool], Answer[Tokens]],
        remove: Callable[[str], Answer[Tokens]],
    ) -> None:
        self._tokens = tuple(tokens)
        self._add = add
        self._use = use
        self._remove = remove
        self._list = ipywidgets.VBox()
        self._list.add_class("comfynb-rows")
        self._empty = html('<div class="comfynb-soft">No tokens yet.</div>')
        self._message = html("", "comfynb-note")
        options = [(_NAMES.get(one, one.value.title()), one) for one in Service]
        self._service = ipywidgets.Dropdown(options=options, description="For")
        self._name = ipywidgets.Text(description="Name", placeholder="as the service")
        self._secret = SecretInput(self._received, placeholder="not shown, not kept on the page")
        bar = ipywidgets.HBox([self._service, self._name, self._secret])
        bar.add_class("comfynb-fill")
        super().__init__([self._list, bar, self._message])
        self.add_class("comfynb-tokens")
        self.show(tokens)

    def show(self, tokens: Tokens) -> None:
        """The tokens as they are now."""
        self._tokens = tuple(tokens)
        former = self._list.children
        self._list.children = tuple(map(self._row, self._tokens)) or (self._empty,)
        for one in former:
            if one is not self._empty:
                close_tree(one)

    def _row(self, token: TokenInfo) -> ipywidgets.Widget:
        text = html(_line(token), "comfynb-cells")
        if token.id is None:
            return ipywidgets.HBox([text])
        token_id, name = token.id, one_line(token.name, 60)
        use = ipywidgets.Checkbox(value=token.isActive, indent=False, description=f"Use {name}")
        use.observe(lambda change: self._do(lambda: self._use(token_id, change["new"])), "value")
        use.add_class("comfynb-enable")
        remove = ipywidgets.Button(description="Forget", tooltip=f"Forget the token {name}")
        remove.on_click(lambda _: self._do(lambda: self._remove(token_id), f"{name} is forgotten."))
        return ipywidgets.HBox([use, text, remove])

    def _received(self, token: str) -> None:
        service, name = self._service.value, self._name.value.strip()
        self._secret.disabled = True
        shown = _NAMES.get(service, service.value.title())
        self._do(
            lambda: self._add(service, name, token.strip()),
            f"Kept, encrypted, for {shown}. It cannot be read back here.",
        )

    def _do(self, what: Callable[[], Answer[Tokens]], success: str = "") -> None:
        self._message.value = ""

        def done(tokens: object) -> None:
            self._secret.disabled = False
            self._name.value = ""
            self._message.value = told(success)
            self.show(tokens)  # type: ignore[arg-type]

        def failed(why: str) -> None:
            self._secret.disabled = False
            self._message.value = told(why, bad=True)
            self.show(self._tokens)

        call(what, done, failed)

    def plain(self) -> str:
        """The names as a table."""
        return tokens_table(self._tokens).plain()

    def body(self) -> str:
        """The names as a static table."""
        return tokens_table(self._tokens).body()

    def close(self) -> None:
        """Close the form; the tokens stay where they are."""
        if getattr(self, "comm", None) is not None:
            close_tree(self._empty)
        super().close()


def _line(token: TokenInfo) -> str:
    service = _NAMES.get(token.service, token.service.value.title())
    ends = f" · ends in <code>{esc(token.last4)}</code>" if token.last4 else ""
    where = "of the environment" if token.source == "environment" else "kept, encrypted"
    aside = "" if token.isActive else " · left aside"
    problem = f'<div class="comfynb-problem">{user(token.problem, 300)}</div>' if (
        token.problem
    ) else ""  # fmt: skip
    return (
        f"<b>{user(token.name, 80)}</b> "
        f'<span class="comfynb-soft">{esc(service)} · {where}{ends}{aside}</span>{problem}'
    )


def tokens_table(tokens: Tokens) -> StaticTable:
    """What may be shown of tokens: never the token."""
    return StaticTable(
        ["name", "service", "ends in", "state", "kept"],
        [
            (
                *(one.name, one.service.value.lower(), f"…{one.last4}" if one.last4 else ""),
                one.problem or ("" if one.isActive else "left aside"),
                one.source,
            )
            for one in tokens
        ],
        empty="no tokens yet",
    )
