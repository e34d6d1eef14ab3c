import json
from typing import Any

import ipywidgets
import pytest

from comfynb.deploy.tokens import TokenInfo
from comfynb.errors import InvalidValue
from comfynb.models import Service
from comfynb.widgets.deploy import TokenForm

TOKEN = "hf_" + "SecretSecretSecret" * 2


class Vault:
    def __init__(self) -> None:
        self.tokens = [
            TokenInfo(None, "HF_TOKEN", Service.HUGGINGFACE, "last", True, "environment"),
            TokenInfo("t1", "mine", Service.CIVITAI, "wxyz", True, "stored"),
        ]
        self.asked: list[tuple[Any, ...]] = []

    def add(self, *what: Any) -> list[TokenInfo]:
        self.asked.append(("add", *what))
        if what[2] == "bad":
            raise InvalidValue("That is no token.")
        self.tokens.append(TokenInfo("t2", what[1] or "hf", what[0], "cret", True, "stored"))
        return self.tokens

    def use(self, *what: Any) -> list[TokenInfo]:
        self.asked.append(("use", *what))
        return self.tokens

    def remove(self, *what: Any) -> list[TokenInfo]:
        self.asked.append(("remove", *what))
        self.tokens = self.tokens[:1]
        return self.tokens

    def form(self) -> Any:
        return TokenForm(self.tokens, add=self.add, use=self.use, remove=self.remove)


def send(form: Any, text: Any) -> None:
    form._secret._handle_custom_msg({"kind": "secret", "text": text}, [])


def test_a_token_goes_to_who_keeps_it_and_stays_nowhere() -> None:
    vault = Vault()
    form = vault.form()
    form._service.value = Service.HUGGINGFACE
    form._name.value = " laptop "
    send(form, f" {TOKEN}\n")
    assert vault.asked == [("add", Service.HUGGINGFACE, "laptop", TOKEN)]
    assert "Kept, encrypted, for Hugging Face" in form._message.value
    assert form._name.value == ""
    assert len(form._list.children) == 3
    state = ipywidgets.Widget.get_manager_state(drop_defaults=False)
    shown = json.dumps(state, default=str) + form.static_html() + form.plain() + repr(vars(form))
    assert TOKEN not in shown
    assert "SecretSecret" not in "".join(repr(vars(one)) for one in (form, form._secret))


def test_a_refused_token_is_said_without_it() -> None:
    form = Vault().form()
    send(form, "bad")
    assert "That is no token." in form._message.value
    assert not form._secret.disabled


@pytest.mark.parametrize("nonsense", [None, 5, ["x"], "x" * 20_000])
def test_what_is_no_text_is_not_taken(nonsense: Any) -> None:
    vault = Vault()
    send(vault.form(), nonsense)
    assert vault.asked == []


def test_use_and_forget() -> None:
    vault = Vault()
    form = vault.form()
    theirs, mine = form._list.children
    assert len(theirs.children) == 1  # of the environment: nothing to press
    mine.children[0].value = False
    assert vault.asked == [("use", "t1", False)]
    form._list.children[1].children[2].click()
    assert vault.asked[-1] == ("remove", "t1")
    assert len(form._list.children) == 1


def test_hostile_text_stays_text(tags: Any, hostile: str) -> None:
    def shown(text: str) -> Any:
        info = TokenInfo("t", text, Service.CIVITAI, text[:4], False, "stored", problem=text)
        vault = Vault()
        vault.tokens = [info]
        return vault.form()

    nasty, harmless = shown(hostile), shown("plain")
    assert tags(nasty.static_html()).tags == tags(harmless.static_html()).tags
    rows = [form._list.children[0].children[1].value for form in (nasty, harmless)]
    assert tags(rows[0]).tags == tags(rows[1]).tags


@pytest.mark.usefixtures("nothing_left")
def test_it_closes_whole() -> None:
    form = Vault().form()
    send(form, TOKEN)
    form.close()
