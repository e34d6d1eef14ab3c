import re
from typing import Any

import pytest

from comfynb.models import JobStatus
from comfynb.widgets.theme import chip, css, look, online_chip


def test_every_status_has_a_sign_and_a_word_of_its_own(tags: Any) -> None:
    looks = [look(status) for status in JobStatus]
    assert len({one.sign for one in looks}) == len(looks)
    assert "•" not in {one.sign for one in looks}  # the sign for a status that nobody drew
    for status in JobStatus:
        assert status.value in tags(chip(status)).text
        assert f".{look(status).css_class}" in css()


@pytest.mark.parametrize(
    ("online", "enabled", "word"),
    [
        (True, True, "online"),
        (False, True, "offline"),
        (None, True, "asking"),
        (True, False, "disabled"),
    ],
)
def test_states_of_a_backend(online: bool | None, enabled: bool, word: str, tags: Any) -> None:
    assert word in tags(online_chip(online, enabled)).text


def test_every_theme_colour_has_a_fallback() -> None:
    for use in re.findall(r"var\((--jp-[^()]*(?:\([^()]*\))?[^()]*)\)", css()):
        assert "," in use, f"var({use}) shows nothing outside JupyterLab"


def test_rules_stay_within_our_own_elements() -> None:
    bare = re.sub(
        r"/\*.*?\*/|@keyframes \S+ \{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", css(), flags=re.DOTALL
    )
    for selectors in re.findall(r"([^{}]+)\{", bare):
        for selector in selectors.split(","):
            name = selector.strip()
            assert name.startswith((".comfynb", "@media")), name
