"""Nothing private is reached: by address, by name, by redirect, by a name server that changes.

Every connection of these tests that does not go to a public server of their own world ends in a
listening socket that counts it; ``test_the_traps_would_notice`` shows that they do count.
"""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from comfynb.deploy.net import Answer, Fetcher, NetPolicy, addresses, gate, policy
from comfynb.deploy.net.exchange import Ask, Exchange, _Redirect
from comfynb.errors import AddressRefused, FetchError

PUBLIC = "93.184.216.34"
PUBLIC_2 = "151.101.1.6"
PUBLIC_6 = "2606:2800:220:1::6"

PRIVATE = (
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.0.0.2",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:0:0:0:0:80ff:fffe",
    "2002:7f00:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
)
SPELLINGS = (
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "127.0.0.1.",
    "0",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "foo.localhost",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
)


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def refused(fetcher: Fetcher, url: str, folder: Path) -> None:
    """Try every way of asking."""
    for ask, *rest in (
        (fetcher.get,),
        (fetcher.head,),
        (fetcher.probe,),
        (fetcher.get_json,),
        (fetcher.post_json, {"a": 1}),
        (fetcher.download, folder / "file.bin"),
    ):
        with pytest.raises(AddressRefused, match=r"asked|stopped"):
            await ask(url, *rest)
    assert not (folder / "file.bin").exists()


@pytest.mark.parametrize("port", ["", "trap"])
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_no_private_address_is_reached(
    world: Any, tmp_path: Path, scheme: str, port: str
) -> None:
    end = f":{world.trap.port}" if port else ""
    # What the names of this machine really mean, beside what name servers would say.
    for name in SPELLINGS:
        world.names[name.lower()] = [["127.0.0.1", "::1"]]
    async with world.fetcher() as fetcher:
        for host in (*map(literal, PRIVATE), *SPELLINGS):
            await refused(fetcher, f"{scheme}://{host}{end}/x", tmp_path)
    assert world.connected == []
    assert world.trap.count() == 0


@pytest.mark.parametrize("address", PRIVATE)
async def test_no_name_leads_to_a_private_address(world: Any, tmp_path: Path, address: str) -> None:
    world.names["inside.example"] = [[address]]
    world.names["mixed.example"] = [[PUBLIC, address]]
    world.names["mixed6.example"] = [[PUBLIC_6, PUBLIC, address, PUBLIC_2]]
    async with world.fetcher() as fetcher:
        for host in ("inside.example", "mixed.example", "mixed6.example"):
            await refused(fetcher, f"https://{host}/x", tmp_path)
    assert world.connected == []
    assert world.trap.count() == 0


async def test_the_system_s_own_names_for_this_machine_are_refused(
    world: Any, tmp_path: Path
) -> None:
    async with Fetcher(tls=world.tls.client) as fetcher:
        for host in ("localhost", "LocalHost", "foo.localhost", "127.0.0.1.", "0"):
            await refused(fetcher, f"https://{host}/x", tmp_path)
        # What the resolver says of it, too.
        with pytest.raises(AddressRefused, match="loopback"):
            await gate.Gate(NetPolicy()).resolve("localhost", 443)
    assert world.connected == []
    assert world.trap.count() == 0


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.2", "::1", "10.1.2.3", "169.254.169.254"]
)
async def test_the_traps_would_notice(
    world: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """With the table of addresses emptied, the same requests do arrive."""
    for module in (gate, policy, addresses):
        monkeypatch.setattr(module, "why_refused", lambda text: None)
    world.names["inside.example"] = [[address]]
    async with world.fetcher(timeout=0.5) as fetcher:
        for host in (literal(address), "inside.example"):
            with pytest.raises(FetchError):
                await fetcher.get(f"https://{host}/x")
            assert world.trap.count() > 0


@pytest.mark.parametrize("found", [["127.0.0.1"], ["::1", "127.0.0.1"], ["127.0.0.1"] * 3])
async def test_the_gate_looks_again_at_what_is_connected_to(
    world: Any, monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    """Even if nothing had been noticed when the name was resolved."""

    async def resolve(self: gate.Gate, host: str, port: int = 0, family: Any = 0) -> Any:
        return [gate._result(host, address, port) for address in found]

    monkeypatch.setattr(gate.Gate, "resolve", resolve)
    async with world.fetcher() as fetcher:
        with pytest.raises(AddressRefused, match="stopped"):
            await fetcher.get("https://models.example/x")
    assert world.connected == []
    assert world.trap.count() == 0


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(
    world: Any,
) -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        ssl_object = request.transport.get_extra_info("ssl_object")
        seen.append((request.headers["Host"], ssl_object is not None))
        response = web.Response(text="ok")
        response.force_close()
        return response

    await world.serve("models.example", answer)
    # The second answer of the name server is this machine.
    world.names["models.example"] = [[PUBLIC], ["127.0.0.1"]]
    async with world.fetcher() as fetcher:
        first = await fetcher.get("https://models.example/x")
        assert (first.status, first.body) == (200, b"ok")
        assert world.lookups == ["models.example"]
        assert world.connected == [(PUBLIC, 443)]
        # The certificate was checked for the name, and the server was asked by its name.
        assert world.tls.asked_for == ["models.example"]
        assert seen == [("models.example", True)]
        with pytest.raises(AddressRefused, match="loopback"):
            await fetcher.get("https://models.example/x")
    assert world.lookups == ["models.example"] * 2
    assert world.connected == [(PUBLIC, 443)]
    assert world.trap.count() == 0


async def test_a_certificate_for_another_name_is_refused(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        raise AssertionError("asked although its certificate is another's")

    await world.serve("other.example", answer)
    world.names["models.example"] = [[PUBLIC]]
    async with world.fetcher(secrets=lambda host: "s3cr3t") as fetcher:
        with pytest.raises(FetchError, match="cannot be trusted"):
            await fetcher.get("https://models.example/x")


async def test_a_certificate_of_an_unknown_authority_is_refused(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        raise AssertionError("asked although nobody vouches for it")

    await world.serve("models.example", answer)
    async with Fetcher(lookup=world.lookup) as fetcher:
        with pytest.raises(FetchError, match="cannot be trusted"):
            await fetcher.get("https://models.example/x")


async def test_public_addresses_of_both_families_are_reached(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Host"])

    await world.serve("models.example", answer)
    await world.serve(PUBLIC_2, answer, address=PUBLIC_2, named=False)
    async with world.fetcher() as fetcher:
        assert (await fetcher.get("https://models.example/")).body == b"models.example"
        assert (await fetcher.get("https://MODELS.example:443/")).body == b"models.example"
        assert (await fetcher.get(f"https://{PUBLIC_2}/")).body == PUBLIC_2.encode()
        if "::1" in world.trap.addresses:
            await world.serve("six.example", answer, address=PUBLIC_6)
            assert (await fetcher.get("https://six.example/")).body == b"six.example"
    assert world.trap.count() == 0


REDIRECTS = (
    *(f"https://{literal(address)}/x" for address in PRIVATE),
    *(f"http://{literal(address)}/x" for address in ("127.0.0.1", "169.254.169.254", "::1")),
    *(f"https://{spelling}/x" for spelling in SPELLINGS),
    "//127.0.0.1/x",
    "//169.254.169.254/latest/meta-data/",
    "https://inside.example/x",
    "https://user:word@models.example/x",
    "https://models.example@127.0.0.1/x",
    "https://models.example:22/x",
    "http://models.example/x",
    "http://files.example/x",
    "ftp://models.example/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "\\\\127.0.0.1\\x",
    "https:\\\\127.0.0.1/x",
    "https://127.0.0.1\\.models.example/",
)


@pytest.mark.parametrize(("status", "left"), [(302, 0), (307, 4)])
async def test_no_redirect_leads_to_a_private_address(
    world: Any, tmp_path: Path, status: int, left: int
) -> None:
    for name in SPELLINGS:
        world.names[name.lower()] = [["127.0.0.1", "::1"]]
    world.names["inside.example"] = [["10.1.2.3"]]

    async def answer(request: web.Request) -> web.Response:
        place = int(request.query["n"])
        left = int(request.query["left"])
        location = REDIRECTS[place] if left == 0 else f"/x?n={place}&left={left - 1}"
        response = web.Response(status=status)
        response.headers["Location"] = location
        return response

    await world.serve("models.example", answer)
    reached = len(world.connected)
    async with world.fetcher(secrets=lambda host: "s3cr3t") as fetcher:
        for place, there in enumerate(REDIRECTS):
            url = f"https://models.example/x?n={place}&left={left}"
            asks: list[tuple[Any, ...]] = [(fetcher.get,)]
            if left == 0:
                ways = ((fetcher.head,), (fetcher.download, tmp_path / "f"), (fetcher.probe,))
                asks.append(ways[place % 3])
            for ask, *rest in asks:
                with pytest.raises(AddressRefused) as caught:
                    await ask(url, *rest)
                assert "s3cr3t" not in str(caught.value), there
                assert "word" not in str(caught.value).replace("password", ""), there
    assert {place for place, _ in world.connected[reached:]} == {PUBLIC}
    assert world.trap.count() == 0
    assert not (tmp_path / "f").exists()


PARTS = st.lists(
    st.sampled_from(
        [
            *("https:", "http:", "HTTPS:", "ftp:", "//", "/", "///", "\\", "@", ":", "#", "?", "%"),
            *(".", "..", "[", "]", "[::1]", "[::ffff:7f00:1]", "127.0.0.1", "0x7f.1", "2130706433"),
            *(
                "localhost",
                "models.example",
                "169.254.169.254",
                "user:word",
                ":443",
                ":80",
                ":8080",
            ),
            *("%2f", "%00", "%0d%0a", "\t", " ", "１２７.0.0.1", "。", "x", "\ud800"),
        ]
    ),
    max_size=9,
).map("".join)


@given(st.one_of(PARTS, st.text(max_size=40), PARTS.map(lambda text: f"https://{text}")))
@example("https://models.example\\@127.0.0.1/")
@example("//models.example#@127.0.0.1/")
def test_wherever_a_redirect_points_it_is_refused_or_public_https(location: str) -> None:
    here = NetPolicy().check("https://models.example/x")
    answer = Answer(302, CIMultiDict(), b"", "https://models.example/x")
    exchange = Exchange(NetPolicy(), None, None, None)  # type: ignore[arg-type] - not connected
    ask: Ask[None] = Ask("GET", "https://models.example/x", None)  # type: ignore[arg-type]
    try:
        there = exchange._next(ask, here, _Redirect(answer, location), 1)
    except FetchError:
        return
    assert (there.scheme, there.port, there.url.raw_user) == ("https", 443, None)
    assert not f".{there.host}".endswith(".localhost")
    # What was checked is what is connected to: the library reads the same host out of the URL.
    assert there.url.raw_host == there.host
    assert str(URL(str(there.url)).raw_host) == there.host
    if there.literal:
        assert addresses.why_refused(there.host) is None
    else:
        with pytest.raises(OSError, match="illegal"):
            socket.inet_aton(there.host)


async def test_a_redirect_s_name_that_changes_is_not_followed_in(world: Any) -> None:
    """The name is public when it is asked first, and private when the redirect leads back to it."""

    async def answer(request: web.Request) -> web.Response:
        response = web.Response(status=302)
        response.force_close()
        response.headers["Location"] = "https://models.example/again"
        return response

    await world.serve("models.example", answer)
    world.names["models.example"] = [[PUBLIC], ["169.254.169.254"]]
    async with world.fetcher() as fetcher:
        with pytest.raises(AddressRefused, match="link-local"):
            await fetcher.get("https://models.example/x")
    assert world.connected == [(PUBLIC, 443)]
    assert world.trap.count() == 0


async def test_proxies_and_netrc_of_the_environment_are_not_used(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://127.0.0.1:{world.trap.port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.lower(), proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine models.example login me password s3cr3t\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response(text="ok")

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        assert (await fetcher.get("https://models.example/x")).body == b"ok"
    assert world.connected == [(PUBLIC, 443)]
    assert world.trap.count() == 0
    assert "Authorization" not in seen[0]


async def test_what_the_operator_allows_is_reached_and_nothing_beside_it(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/out":
            raise web.HTTPFound(f"http://127.0.0.1:{world.trap.port}/x")
        return web.Response(text="ok")

    url, allow = await world.plain(answer)
    async with world.fetcher(policy=allow) as fetcher:
        assert (await fetcher.get(url)).body == b"ok"
        with pytest.raises(AddressRefused):
            await fetcher.get(f"{url}/out")
        with pytest.raises(AddressRefused):
            await fetcher.get(f"http://127.0.0.1:{world.trap.port}/x")
    assert world.trap.count() == 0


async def test_another_name_for_an_allowed_address_is_refused(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    world.names["lab.example"] = [["127.0.0.1"]]
    world.names["evil.example"] = [["127.0.0.1"]]
    await world.serve("lab.example", answer, address="127.0.0.1", port=8443)
    async with world.fetcher(policy=NetPolicy(frozenset({"lab.example:8443"}))) as fetcher:
        assert (await fetcher.get("https://lab.example:8443/")).body == b"ok"
        for other in ("evil.example:8443", "evil.example", "lab.example", "127.0.0.1:8443"):
            with pytest.raises(AddressRefused):
                await fetcher.get(f"https://{other}/")
    assert world.connected == [("127.0.0.1", 8443)]


async def test_a_name_server_that_does_not_answer_does_not_hold_up(world: Any) -> None:
    async def silent(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with Fetcher(lookup=silent, timeout=0.05, tls=world.tls.client) as fetcher:
        with pytest.raises(FetchError, match="was not resolved in time"):
            await fetcher.get("https://models.example/")


@pytest.mark.parametrize("answers", [[], ["nonsense"], ["127.0.0.1", "nonsense"], [""]])
async def test_a_name_server_s_nonsense_is_refused(world: Any, answers: list[str]) -> None:
    world.names["models.example"] = [answers]
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError):
            await fetcher.get("https://models.example/")
    assert world.connected == []
