"""What answers say about URLs: the services' own ways of saying no."""

import pytest
from multidict import CIMultiDict

from comfynb.deploy.net import Answer
from comfynb.deploy.net.verdicts import (
    CheckTarget,
    UrlClass,
    class_of,
    judge,
    judge_error,
    size_of,
)
from comfynb.errors import AddressRefused, FetchError
from comfynb.models import UrlValidation, utcnow

URL = "https://models.example/f.safetensors"
NOW = utcnow()


def answer(
    status: int, body: bytes = b"", url: str = URL, history: tuple[Answer, ...] = (), **headers: str
) -> Answer:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Answer(status, named, body, url, history)


CASES = [
    (answer(200, Content_Length="5"), "OK"),
    (answer(206, b"x", Content_Range="bytes 0-0/5"), "OK"),
    (answer(200, b"<", Content_Type="application/octet-stream"), "OK"),
    (answer(401), "AUTH_REQUIRED"),
    (answer(401, b'{"error":"Unauthorized"}'), "AUTH_REQUIRED"),
    (answer(401, X_Error_Code="GatedRepo"), "GATED"),
    (answer(403, x_error_code="GatedRepo"), "GATED"),
    (answer(401, X_Error_Code="RepoNotFound"), "AUTH_REQUIRED"),
    (answer(403, X_Error_Code="DisabledRepo"), "ARCHIVED"),
    (answer(403), "AUTH_REQUIRED"),
    (answer(403, b'{"error":"...","deadline":"2026-12-01T00:00:00Z"}'), "EARLY_ACCESS"),
    (answer(403, b"This asset is in Early Access."), "EARLY_ACCESS"),
    (answer(403, b'["deadline"]'), "AUTH_REQUIRED"),
    (answer(403, b"[" * 100_000), "AUTH_REQUIRED"),
    (answer(403, b"<html>", cf_mitigated="challenge"), "UNREACHABLE"),
    (answer(404), "GONE"),
    (answer(404, X_Error_Code="EntryNotFound"), "GONE"),
    (answer(410), "ARCHIVED"),
    (answer(429, Retry_After="30"), "RATE_LIMITED"),
    (answer(429), "RATE_LIMITED"),
    (answer(503, Retry_After="30"), "RATE_LIMITED"),
    (answer(503), "UNREACHABLE"),
    (answer(500), "UNREACHABLE"),
    (answer(418), "UNREACHABLE"),
    (answer(304), "UNREACHABLE"),
    (answer(200, Content_Type="text/html; charset=utf-8"), "HTML_INSTEAD_OF_FILE"),
    (answer(200, b"\n<!DOCTYPE html><html>"), "HTML_INSTEAD_OF_FILE"),
    (answer(206, b"<HTML ", Content_Range="bytes 0-5/900"), "HTML_INSTEAD_OF_FILE"),
]


@pytest.mark.parametrize(("got", "kind"), CASES, ids=lambda value: str(value)[:60])
def test_an_answer_has_one_class(got: Answer, kind: str) -> None:
    verdict = judge(CheckTarget(URL), got, NOW)
    assert verdict.kind.value == kind
    assert verdict.isValid == (kind == "OK")
    assert verdict.status == got.status
    if kind == "OK":
        assert verdict.message is None
    else:
        word, _, sentence = (verdict.message or "").partition(": ")
        assert (word, sentence[-1]) == (kind, ".")


@pytest.mark.parametrize(
    ("place", "is_login"),
    [
        ("https://models.example/login?returnUrl=/x", True),
        ("https://models.example/auth/signin", True),
        ("https://id.example/oauth/authorize", True),
        ("https://models.example/Sign-In/", True),
        ("https://cdn.example/logins.safetensors", False),
        ("https://cdn.example/author/file", False),
    ],
)
@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_a_redirect_to_a_login_is_told_from_the_file(
    place: str, is_login: bool, status: int
) -> None:
    first = answer(307, Location=place)
    verdict = judge(CheckTarget(URL), answer(status, url=place, history=(first,)), NOW)
    assert (verdict.kind is UrlClass.REDIRECT_LOGIN) == is_login
    # What is asked for itself may well be called so.
    assert judge(CheckTarget(place), answer(200, url=place), NOW).kind is UrlClass.OK


def test_sizes_are_compared_where_both_are_known() -> None:
    linked = answer(302, X_Linked_Size="5000")
    sizes = {
        "head": answer(200, Content_Length="5000"),
        "range": answer(206, b"x", Content_Length="1", Content_Range="bytes 0-0/5000"),
        "hugging face": answer(200, Content_Length="5000", history=(linked,)),
        "linked": answer(200, history=(linked,)),
    }
    for got in sizes.values():
        assert size_of(got) == 5000
        for known, kind in ((5000, "OK"), (None, "OK"), (5900, "OK"), (9000, "SIZE_CHANGED")):
            assert judge(CheckTarget(URL, size=known), got, NOW).kind.value == kind
    unknown = (
        answer(200),
        answer(206, b"x", Content_Length="1", Content_Range="bytes 0-0/*"),
        answer(206, b"x", Content_Length="1"),
        answer(200, Content_Length="50", Content_Encoding="gzip"),
        answer(200, Content_Length="²"),
    )
    for got in unknown:
        assert size_of(got) is None
        assert judge(CheckTarget(URL, size=9000), got, NOW).kind is UrlClass.OK


def test_a_page_may_be_a_page_and_move() -> None:
    target = CheckTarget("https://github.com/a/b", page=True, size=7)
    html = answer(200, b"<html>", url=target.url, Content_Type="text/html", Content_Length="9999")
    assert judge(target, html, NOW).message is None
    moved = answer(200, url="https://github.com/c/b", history=(answer(301),))
    verdict = judge(target, moved, NOW)
    assert (verdict.isValid, verdict.message) == (
        True,
        "OK: it has moved to https://github.com/c/b",
    )
    detour = answer(200, url="https://github.com/c/b", history=(answer(302),))
    assert judge(target, detour, NOW).message is None


def test_errors_have_classes_too() -> None:
    refused = judge_error(CheckTarget(URL), AddressRefused("it is private.", url=URL), NOW)
    assert (refused.kind, refused.message) == (UrlClass.REFUSED, "REFUSED: it is private.")
    lost = judge_error(CheckTarget(URL), FetchError("nobody answers.", url=URL), NOW)
    assert (lost.kind, lost.status) == (UrlClass.UNREACHABLE, None)


@pytest.mark.parametrize("kind", list(UrlClass))
def test_a_class_is_read_back_from_its_row(kind: UrlClass) -> None:
    row = UrlValidation(url=URL, isValid=kind is UrlClass.OK, errorMessage=f"{kind.value}: why.")
    assert class_of(row) is kind


def test_rows_of_others_have_a_class() -> None:
    assert class_of(UrlValidation(url=URL, isValid=True)) is UrlClass.OK
    assert class_of(UrlValidation(url=URL, isValid=False)) is UrlClass.UNREACHABLE
    mystery = UrlValidation(url=URL, isValid=False, errorMessage="Timeout: whatever")
    assert class_of(mystery) is UrlClass.UNREACHABLE
