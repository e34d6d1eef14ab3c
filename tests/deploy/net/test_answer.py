"""What answers tell, and what they keep to themselves."""

import math
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from comfynb.deploy.net import Answer
from comfynb.deploy.net.answer import retry_after
from comfynb.errors import FetchError


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("0", 0.0),
        (" 17 ", 17.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("1000000", 86400.0),
        ("inf", None),
        ("nan", None),
        ("9" * 400, None),
        ("", None),
        ("soon", None),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_or_left(text: str, wait: float | None) -> None:
    assert retry_after({"Retry-After": text}) == wait


def test_a_date_to_come_back_is_counted_from_now() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    wait = retry_after({"Retry-After": later})
    assert wait is not None
    assert 0 < wait <= 100


@given(st.text(max_size=40))
def test_any_text_is_a_wait_or_none(text: str) -> None:
    wait = retry_after({"Retry-After": text})
    assert wait is None or (0 <= wait <= 86400 and math.isfinite(wait))


@pytest.mark.parametrize("status", [200, 204, 206, 299])
def test_a_good_answer_is_itself(status: int) -> None:
    answer = Answer(status, CIMultiDict(), b'{"a": 1}', "https://models.example/")
    assert answer.check() is answer
    assert answer.json() == {"a": 1}


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 404, 410, 429, 451, 500, 599])
def test_another_is_an_error_without_what_was_asked(status: int) -> None:
    headers = CIMultiDict({"Retry-After": "9", "Location": "https://x/?sig=s3cr3t"})
    answer = Answer(status, headers, b"s3cr3t", "https://models.example/x?token=s3cr3t")
    with pytest.raises(FetchError, match=str(status)) as caught:
        answer.check()
    error = caught.value
    assert (error.status, error.retry_after, error.url) == (status, 9.0, "https://models.example/x")
    assert "s3cr3t" not in str(error)
    assert "come back in 9 s" in str(error)


def test_an_answer_s_headers_and_body_are_not_shown() -> None:
    first = Answer(302, CIMultiDict({"Location": "s3cr3t"}), b"", "https://models.example/")
    answer = Answer(200, CIMultiDict({"X": "s3cr3t"}), b"s3cr3t", "https://cdn.example/", (first,))
    assert repr(answer) == "Answer(status=200, url='https://cdn.example/')"
    assert pickle.loads(pickle.dumps(answer)).body == answer.body
