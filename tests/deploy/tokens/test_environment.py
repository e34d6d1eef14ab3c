"""Where tokens lie in the environment, in the order in which others look there, too."""

from pathlib import Path

import pytest

from comfynb.deploy.tokens import find_tokens
from comfynb.models import Service


def found(environ: dict[str, str]) -> list[tuple[str, str]]:
    return [(one.place, one.secret.get_secret_value()) for one in find_tokens(environ)]


def test_names_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_file\n")
    environ = {
        "CIVITAI_API_KEY": "c3",
        "HUGGING_FACE_HUB_TOKEN": "h2",
        "CIVITAI_TOKEN": "c1",
        "HF_TOKEN": " h1\n",
        "HF_HOME": str(tmp_path),
        "CIVITAI_API_TOKEN": "c2",
    }
    assert found(environ) == [
        ("HF_TOKEN", "h1"),
        ("HUGGING_FACE_HUB_TOKEN", "h2"),
        (str(tmp_path / "token"), "hf_file"),
        ("CIVITAI_TOKEN", "c1"),
        ("CIVITAI_API_TOKEN", "c2"),
        ("CIVITAI_API_KEY", "c3"),
    ]
    assert {one.service for one in find_tokens(environ)} == set(Service)


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("HF_TOKEN_PATH", ""),
        ("HF_HOME", "token"),
        ("XDG_CACHE_HOME", "huggingface/token"),
        ("HOME", ".cache/huggingface/token"),
    ],
)
def test_the_hub_s_own_file(tmp_path: Path, name: str, below: str) -> None:
    path = tmp_path / "place" / below
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("hf_file")
    assert found({name: str(tmp_path / "place")}) == [(str(path), "hf_file")]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two tokens", b"two\nlines", b"\xff\xfe", b"x" * 9000, "ü".encode()]
)
def test_a_file_without_a_token_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert found({"HF_HOME": str(tmp_path)}) == []


def test_files_that_are_not_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    assert found({"HF_HOME": str(tmp_path)}) == []
    assert found({"HF_HOME": str(tmp_path / "missing")}) == []
    assert found({}) == []


@pytest.mark.parametrize("text", ["", " ", "two words", "a\nb", "ü"])
def test_variables_without_a_token_are_none(text: str) -> None:
    assert found({"HF_TOKEN": text, "CIVITAI_TOKEN": text}) == []
