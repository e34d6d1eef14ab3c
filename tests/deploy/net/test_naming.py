"""What a file is called, as URLs and servers say it; none of them is believed about folders."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from comfynb.deploy.net import Answer
from comfynb.deploy.net.naming import file_name, name_in
from comfynb.errors import FetchError
from comfynb.models._checks import check_file_name

URL = "https://models.example/get/7"


class Says:
    """A way out whose server gives one answer."""

    def __init__(self, status: int = 200, url: str = URL, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = Answer(status, CIMultiDict(named), b"", url)

    async def head(self, url: str) -> Answer:
        assert url == URL
        return self.answer


async def name_of(**said: Any) -> str | None:
    return await file_name(URL, Says(**said))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/x/style%20v2.ckpt?download=true", "style v2.ckpt"),
        ("https://a.example/api/download/models/12", "12"),
        ("https://a.example/", None),
        ("https://a.example/x/..%2f..%2fetc%2fpasswd", None),
        ("https://a.example/x/%0A.ckpt", None),
        ("https://a.example/x/-o.ckpt", None),
    ],
)
def test_a_url_names_its_last_part(url: str, name: str | None) -> None:
    assert name_in(url) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("attachment; filename=a.ckpt", "a.ckpt"),
        ('attachment; filename="a b.ckpt"', "a b.ckpt"),
        ("attachment; filename=\"a.ckpt\"; filename*=UTF-8''%C3%BC.ckpt", "ü.ckpt"),
        ('attachment; filename="../../a.ckpt"', "a.ckpt"),
        ('attachment; filename="C:\\x\\a.ckpt"', "a.ckpt"),
        ("attachment; filename*=nonsense''%FF.ckpt", "ÿ.ckpt"),
        ("attachment", "7"),
        ('attachment; filename=".."', "7"),
    ],
)
async def test_a_server_names_it_better(value: str, name: str) -> None:
    assert await name_of(Content_Disposition=value) == name


async def test_where_it_leads_names_it_too() -> None:
    assert await name_of(url="https://cdn.example/blobs/a.gguf") == "a.gguf"
    with pytest.raises(FetchError, match="answered 401"):
        await name_of(status=401)


@given(st.text())
def test_whatever_a_server_says_it_is_a_plain_name_or_none(value: str) -> None:
    name = asyncio.run(name_of(url="https://a.example/", Content_Disposition=value))
    assert name is None or check_file_name(name) == name
