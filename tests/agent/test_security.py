"""Who is answered: tokens, host names, foreign pages; and nothing that is sent breaks the agent."""

import asyncio
import hashlib
import hmac
import logging
import string
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfynb_agent import tokens
from comfynb_agent.settings import Settings, is_loopback
from comfynb_agent.tokens import SettingsError, Token, find_token

SECRET = "correct-horse-battery-staple"
PATHS = (
    "/metrics",
    "/comfynb/metrics",
    "/comfynb/metrics.json",
    "/comfynb/metrics/stream",
    "/comfynb/openapi.json",
)


async def ask(session, url, path, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.get(url + path, headers=headers) as answer:
        if answer.status == 200 and "stream" in path:
            return 200, await answer.content.readline()
        return answer.status, await answer.read()


# the token


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET.upper()}",
        f"Basic {SECRET}",
        SECRET,
        "Bearer \xff\xfe",
        "Bearer " + "x" * 7000,
    ],
)
async def test_no_token_no_data(serve, session, stand_in, path, shown):
    url = await serve(stand_in, token=Token(SECRET), host="0.0.0.0")
    headers = {} if shown is None else {"Authorization": shown}
    status, body = await ask(session, url, path, **headers)
    assert status == 401
    assert body == b'{"error": "The agent\'s token is missing or wrong."}'


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_opens(serve, session, stand_in, path, scheme):
    url = await serve(stand_in, token=Token(SECRET), host="0.0.0.0")
    status, body = await ask(session, url, path, Authorization=f"{scheme} {SECRET}")
    assert status == 200
    assert body
    # also under another name: who has the token is no page that was led here
    named = await ask(session, url, path, Authorization=f"{scheme} {SECRET}", Host="gpu-1.example")
    assert named[0] == 200


async def test_a_token_in_the_address_opens_nothing(serve, session, stand_in):
    url = await serve(stand_in, token=Token(SECRET))
    assert (await ask(session, url, f"/comfynb/metrics.json?token={SECRET}"))[0] == 401


def test_tokens_are_compared_in_constant_time(monkeypatch):
    """Whatever is shown, one comparison of two digests of equal length decides."""
    compared = []

    compare_digest = hmac.compare_digest

    def compare(shown, expected):
        compared.append((shown, expected))
        return compare_digest(shown, expected)

    token = Token(SECRET)
    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    guesses = [
        "",
        "Bearer",
        f"Bearer {SECRET}",
        f"Basic {SECRET}",
        "Bearer c",
        "Bearer " + "c" * 9999,
    ]
    assert [token.admits(guess) for guess in guesses] == [False, False, True, False, False, False]
    assert len(compared) == len(guesses)
    assert {len(part) for pair in compared for part in pair} == {hashlib.sha256().digest_size}
    assert {expected for _, expected in compared} == {hashlib.sha256(SECRET.encode()).digest()}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_only_the_token_is_admitted(shown):
    assert Token(SECRET).admits(shown) == (
        shown.partition(" ")[0].lower() == "bearer" and shown.partition(" ")[2].strip() == SECRET
    )


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 15, "has a space in it", "ümläut-ümläut-üml", "tab\tin-the-middle"]
)
def test_a_weak_token_is_refused_and_not_quoted(text):
    with pytest.raises(SettingsError, match="at least 16 visible ASCII") as caught:
        Token(text)
    if text:
        assert text not in str(caught.value)


def test_the_token_is_in_no_repr_and_no_traceback():
    token = Token(SECRET)
    chosen = Settings(token=token, host="0.0.0.0")
    for text in (repr(token), str(token), f"{token}", repr(chosen), str(vars(chosen))):
        assert SECRET not in text
    assert not hasattr(token, "__dict__")
    assert SECRET.encode() not in b"".join(getattr(token, name) for name in Token.__slots__)
    try:
        token.admits(None)
    except AttributeError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        assert SECRET not in "".join(lines)
    else:
        pytest.fail("None is no header")


def test_where_the_token_comes_from(tmp_path):
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    other = "another-token-of-24-characters"
    assert find_token({}, None) is None
    assert find_token({"COMFYNB_AGENT_TOKEN": ""}, None) is None
    by_variable = find_token({"COMFYNB_AGENT_TOKEN": SECRET}, None)
    assert by_variable.admits(f"Bearer {SECRET}")
    both = {"COMFYNB_AGENT_TOKEN": other, "COMFYNB_AGENT_TOKEN_FILE": str(file)}
    assert find_token(both, None).admits(f"Bearer {SECRET}")
    assert find_token({"COMFYNB_AGENT_TOKEN": other}, file).admits(f"Bearer {SECRET}")
    with pytest.raises(SettingsError, match="cannot be read"):
        find_token({"COMFYNB_AGENT_TOKEN": SECRET}, tmp_path / "gone")
    file.write_bytes(b"\xff\xfe secret that is no text")
    with pytest.raises(SettingsError, match="not a text file") as caught:
        find_token({}, file)
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret that" not in shown


# where it listens


@pytest.mark.parametrize(
    ("host", "wide"),
    [
        ("127.0.0.1", False),
        ("127.8.9.10", False),
        ("::1", False),
        ("localhost", False),
        ("127.0.0.1,::1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("", True),
        ("192.168.1.5", True),
        ("127.0.0.1,0.0.0.0", True),
        ("localhost.evil.example", True),
        ("gpu-1", True),
    ],
)
def test_listening_wider_than_this_machine_needs_a_token(host, wide):
    chosen = Settings(host=host)
    assert chosen.wide is wide
    if wide:
        with pytest.raises(SettingsError, match="COMFYNB_AGENT_TOKEN"):
            chosen.check_reach()
    else:
        chosen.check_reach()
    Settings(host=host, token=Token(SECRET)).check_reach()


@pytest.mark.parametrize("path", PATHS)
async def test_a_wide_agent_without_a_token_tells_nothing(serve, session, stand_in, path):
    """As inside a ComfyUI that listens on 0.0.0.0; alone it does not even start."""
    url = await serve(stand_in, host="0.0.0.0")
    status, body = await ask(session, url, path)
    assert status == 403
    assert b"set COMFYNB_AGENT_TOKEN" in body
    assert b"GPU" not in body


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("127.0.0.1", 200),
        ("[::1]:99", 200),
        ("trusted.example", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost@evil.example", 403),
        ("evil.example:80@localhost", 403),
        ("localhost/", 403),
        ("localhost#evil", 403),
        ("[::1", 403),
        ("localhost:port", 403),
        ("10.0.0.1", 403),
    ],
)
async def test_a_name_that_suddenly_means_this_machine(serve, session, stand_in, name, status):
    """DNS rebinding: the browser believes it asks evil.example."""
    url = await serve(stand_in, allowed_hosts=("trusted.example",))
    assert (await ask(session, url, "/comfynb/metrics.json", Host=name))[0] == status


@pytest.mark.parametrize("token", [None, SECRET])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://localhost:80"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
async def test_pages_of_other_sites(  # noqa: PLR0917
    serve, session, stand_in, headers, status, token
):
    url = await serve(stand_in, token=Token(token) if token else None)
    shown = {"Host": "localhost:80", **headers}
    if token:
        shown["Authorization"] = f"Bearer {token}"
    async with session.get(f"{url}/comfynb/metrics.json", headers=shown) as answer:
        assert answer.status == status
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("host", ["LocalHost", "[::1]", "::1%lo", "127.0.0.1", "localhost."])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "url",
    ["http://ann:secret@h:1", "ftp://h", "h:8188", "http://", "http://h/?a", "http://[", "x" * 300],
)
def test_an_address_of_comfyui_that_is_none(url):
    with pytest.raises(SettingsError) as caught:
        Settings(comfyui=url)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 300


# whatever is sent

methods = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"]
)
wild = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)
paths = st.one_of(
    st.sampled_from(PATHS),
    st.tuples(st.sampled_from(PATHS), wild).map("".join),
    wild.map(lambda text: "/" + text),
)
queries = st.one_of(
    st.just(""),
    st.sampled_from(["?interval=0.25", "?interval=1e400", "?interval=%ff", "?interval", "?a=b&&&"]),
    wild.map(lambda text: "?" + text),
    wild.map(lambda text: "?interval=" + text),
)
names = st.one_of(
    st.sampled_from(
        [
            "Host",
            "Origin",
            "Authorization",
            "Sec-Fetch-Site",
            "Accept",
            "Range",
            "Expect",
            "Upgrade",
        ]
    ),
    st.text(string.ascii_letters + "-", min_size=1, max_size=20),
)
values = st.one_of(
    wild, st.sampled_from([f"Bearer {SECRET}", "localhost", "http://localhost", "é"])
)
headers = st.lists(st.tuples(names, values), max_size=5)
bodies = st.binary(max_size=50)


async def exchange(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
            # a stream goes on for ever: the first bytes are enough
            body = await reader.read(65536)
        return head, body
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        return getattr(error, "partial", b""), b""
    finally:
        writer.close()


@pytest.mark.parametrize("guarded", [False, True])
async def test_nothing_that_is_sent_breaks_it(serve, session, stand_in, guarded, caplog):
    """Any method, path, query, headers and body: no 500, no data without the token, no secret."""
    token = Token(SECRET) if guarded else None
    url = await serve(stand_in, token=token, max_streams=10_000)
    port = int(url.rpartition(":")[2])
    seen = set()
    loop = asyncio.get_running_loop()

    @given(methods, paths, queries, headers, bodies)
    @settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
    def fuzz(method, path, query, chosen, body):
        lines = [f"{method} {path}{query} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in chosen):
            lines.append("Host: localhost")
        lines += [f"{name}: {value}" for name, value in chosen]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        request = "\r\n".join(lines).encode("latin-1") + body
        head, answer = asyncio.run_coroutine_threadsafe(exchange(port, request), loop).result(30)
        status = int(head.split(b" ", 2)[1]) if head else 0
        seen.add(status)
        assert status < 500, (head, answer)
        shown = any(
            name.lower() == "authorization" and value == f"Bearer {SECRET}"
            for name, value in chosen
        )
        if guarded and not shown:
            assert status != 200
            assert b"NVIDIA Fake" not in answer
        assert SECRET.encode() not in answer

    with caplog.at_level(logging.DEBUG):
        await asyncio.to_thread(fuzz)
    assert seen & {401 if guarded else 200}
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR and "agent" in r.name]
    # and it answers as before
    status, body = await ask(
        session, url, "/comfynb/metrics.json", Authorization=f"Bearer {SECRET}"
    )
    assert status == 200
    assert b"NVIDIA Fake 3000" in body


async def test_the_token_is_never_logged(serve, session, stand_in, caplog):
    url = await serve(stand_in, token=Token(SECRET))
    with caplog.at_level(logging.DEBUG):
        for shown in (f"Bearer {SECRET}", f"Basic {SECRET}", f"Bearer {SECRET}{SECRET}"):
            for path in PATHS:
                await ask(session, url, path, Authorization=shown)
    assert SECRET not in caplog.text
