"""Secrets show themselves to nobody who does not ask for them."""

import base64
import copy
import json
import pickle
from dataclasses import asdict

import pytest

from comfynb.comfy import BasicAuth, BearerAuth, Credentials, HeaderAuth, Secret, TokenAuth
from comfynb.errors import InvalidValue

SECRET = "hunter2-Tr0ub4dor"
EVERY_KIND: list[Credentials] = [
    BasicAuth("user", SECRET),
    BearerAuth(SECRET),
    HeaderAuth("X-API-Key", SECRET),
    TokenAuth(SECRET),
]


@pytest.mark.parametrize("credentials", EVERY_KIND, ids=lambda c: type(c).__name__)
def test_no_text_shows_the_secret(credentials: Credentials) -> None:
    texts = [repr(credentials), str(credentials), f"{credentials}", f"{[credentials]!r}"]
    texts.append(repr(asdict(credentials)))
    assert not any(SECRET in text for text in texts)


@pytest.mark.parametrize("credentials", EVERY_KIND, ids=lambda c: type(c).__name__)
def test_they_are_never_pickled_or_dumped(credentials: Credentials) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(credentials)
    with pytest.raises(TypeError):
        json.dumps(asdict(credentials))


def test_a_secret_formats_to_stars_however_it_is_asked() -> None:
    secret = Secret(SECRET)
    assert f"{secret}" == f"{secret:>40}" == str(secret) == "%s" % secret == "***"  # noqa: UP031
    assert SECRET not in repr(secret) + "%r" % secret  # noqa: UP031
    assert secret.reveal() == SECRET


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("ü\ud800") == Secret("ü\ud800")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


def test_each_kind_gives_what_goes_on_the_wire() -> None:
    basic = BasicAuth("Jörg", "p:w€").headers()["Authorization"]
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == "Jörg:p:w€"
    assert BearerAuth("t").headers() == {"Authorization": "Bearer t"}
    assert HeaderAuth("X-Key", "v").headers() == {"X-Key": "v"}
    assert TokenAuth("t").headers() == {}
    assert TokenAuth("t").query() == {"token": "t"}
    assert all(c.query() == {} for c in EVERY_KIND[:3])


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: HeaderAuth("X-Key", f"{SECRET}\r\nX-Evil: 1"), "X-Key"),
        (lambda: HeaderAuth("X-Key", f"{SECRET}é"), "X-Key"),
        (lambda: BearerAuth(f"{SECRET}\n"), "Authorization"),
        (lambda: HeaderAuth("X Key", SECRET), "'X Key'"),
        (lambda: HeaderAuth("", SECRET), "''"),
        (lambda: HeaderAuth("Host", SECRET), "Host"),
        (lambda: HeaderAuth("content-length", SECRET), "content-length"),
        (lambda: HeaderAuth("Origin", SECRET), "Origin"),
        (lambda: BasicAuth("a:b", SECRET), "colon"),
    ],
)
def test_what_would_break_a_request_is_refused_without_showing_it(make: object, names: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        make()  # type: ignore[operator]
    assert names in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_copy_is_the_secret_itself() -> None:
    secret = Secret(SECRET)
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
