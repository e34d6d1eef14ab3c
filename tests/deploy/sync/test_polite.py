"""Services are asked no faster than they like, and again only where that helps."""

import time
from typing import Any

import pytest

from comfynb.deploy.net import Fetcher
from comfynb.deploy.sync.polite import Asker, pause_of
from comfynb.errors import AddressRefused, FetchError


@pytest.fixture
def ask(fetcher: Fetcher, clock: Any) -> Asker:
    return Asker(fetcher, sleep=clock.sleep, clock=clock)


async def test_requests_to_one_host_are_spaced(ask: Asker, service: Any, clock: Any) -> None:
    service.say("/x", [1])
    ask.spacing = 0.5
    for _ in range(3):
        assert (await ask.json(f"{service.base}/x")).data == [1]
    assert clock.slept == [0.5, 0.5]
    assert ask.requests == 3


async def test_what_a_service_asks_for_is_waited(
    ask: Asker, service: Any, clock: Any, fault: Any
) -> None:
    told: list[tuple[int, str]] = []
    ask.on_wait = lambda seconds, why: told.append((round(seconds), why))
    service.say("/x", {})
    service.faults += [fault.status(429, Retry_After="37"), fault.status(503, Retry_After="5")]
    await ask.json(f"{service.base}/x")
    assert clock.waits == [37, 5]
    assert [seconds for seconds, _ in told] == [37, 5]
    assert "429" in told[0][1]


@pytest.mark.parametrize("kind", ["500", "cut", "html", "wrong"])
async def test_what_passes_is_tried_again(
    ask: Asker, service: Any, clock: Any, fault: Any, kind: str
) -> None:
    made = {
        "500": fault.status(500),
        "cut": fault.cut,
        "html": fault.html(),
        "wrong": fault.says('{"items": 3}', "application/json"),
    }[kind]
    service.say("/x", {"items": []})
    service.faults += [made, made]
    assert (await ask.json(f"{service.base}/x", key="items")).data == {"items": []}
    assert clock.waits == [1, 2]


@pytest.mark.parametrize(("kind", "requests"), [("500", 6), ("html", 3), ("404", 1), ("401", 1)])
async def test_what_does_not_pass_is_an_error(
    ask: Asker, service: Any, fault: Any, kind: str, requests: int
) -> None:
    made = fault.html() if kind == "html" else fault.status(int(kind))
    service.faults += [made] * 10
    with pytest.raises(FetchError) as caught:
        await ask.json(f"{service.base}/x?token=secret")
    assert len(service.asked) == requests
    assert "secret" not in str(caught.value)
    assert caught.value.status == (200 if kind == "html" else int(kind))


async def test_a_wait_of_hours_is_an_error_at_once(
    ask: Asker, service: Any, clock: Any, fault: Any
) -> None:
    service.faults += [fault.status(429, Retry_After="7200")]
    with pytest.raises(FetchError, match="7200 s"):
        await ask.json(f"{service.base}/x")
    assert (clock.waits, len(service.asked)) == ([], 1)


async def test_a_used_up_allowance_is_waited_for_before_the_next_request(
    ask: Asker, service: Any, clock: Any
) -> None:
    from aiohttp import web

    service.answers["/x"] = lambda _: web.json_response({}, headers={"RateLimit": '"api";r=0;t=55'})
    await ask.json(f"{service.base}/x")
    assert clock.waits == []
    await ask.json(f"{service.base}/x")
    assert clock.waits == [55]


async def test_a_private_address_is_not_asked_twice(fetcher: Fetcher, clock: Any) -> None:
    ask = Asker(fetcher, sleep=clock.sleep, clock=clock)
    with pytest.raises(AddressRefused):
        await ask.json("http://127.0.0.1:9/x")
    assert clock.slept == []


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, 0),
        ({"RateLimit": '"api";r=0;t=55'}, 55),
        ({"ratelimit": '"api";r=3;t=55, "pages";r=0;t=7'}, 7),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}, 12),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "12"}, 0),
        ({"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": "soon"}, 0),
        ({"RateLimit": '"api";r=0;t=999999'}, 900),
        ({"RateLimit": "nonsense"}, 0),
    ],
)
def test_headers_say_when_nothing_is_left(headers: dict[str, str], pause: float) -> None:
    assert pause_of(headers) == pause


def test_a_reset_may_be_a_time_of_day() -> None:
    at = str(int(time.time()) + 100)
    pause = pause_of({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at})
    assert 90 < pause <= 100
