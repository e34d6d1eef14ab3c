"""What people paste as a server's address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy import Address, BasicAuth, TokenAuth, parse_address
from comfynb.errors import InvalidValue


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("gpu1", "http://gpu1:8188"),
        ("gpu1:8188", "http://gpu1:8188"),
        (" gpu1:9000 \n", "http://gpu1:9000"),
        ("GPU1.Example.ORG", "http://gpu1.example.org:8188"),
        ("192.168.1.20:8188/", "http://192.168.1.20:8188"),
        ("http://gpu1:8188/", "http://gpu1:8188"),
        ("http://gpu1", "http://gpu1:80"),
        ("https://gpu1", "https://gpu1:443"),
        ("HTTPS://gpu1/comfy/", "https://gpu1:443/comfy"),
        ("ws://gpu1:8188/ws?clientId=5", "http://gpu1:8188"),
        ("wss://gpu1/pc1/ws", "https://gpu1:443/pc1"),
        ("gpu1:443", "https://gpu1:443"),
        ("gpu1/a/b", "http://gpu1:8188/a/b"),
        ("http://gpu1:8188/#graph=1", "http://gpu1:8188"),
        ("http://gpu1:8188/index.html", "http://gpu1:8188"),
        ("http://gpu1//a//b/", "http://gpu1:80/a/b"),
        ("[::1]:8188", "http://[::1]:8188"),
        ("::1", "http://[::1]:8188"),
        ("fe80:0:0::1", "http://[fe80::1]:8188"),
        ("http://[fe80::1%25eth0]:8188", "http://[fe80::1%eth0]:8188"),
        ("https://user:pw@[2001:db8::1]/x", "https://[2001:db8::1]:443/x"),
        ("comfy_ui:8188", "http://comfy_ui:8188"),
        ("grün.example", "http://xn--grn-ioa.example:8188"),
        ("https://h/caf%C3%A9", "https://h:443/caf%C3%A9"),
        ("https://h/café", "https://h:443/caf%C3%A9"),
    ],
)
def test_what_people_paste_is_read(text: str, url: str) -> None:
    assert parse_address(text)[0].base_url == url


def test_the_parts_are_at_hand() -> None:
    address, credentials = parse_address("https://[::1]:9000/a/b/")
    assert address == Address("https", "::1", 9000, "/a/b")
    assert address.ws_url == "wss://[::1]:9000/a/b/ws"
    assert credentials is None


def test_a_password_becomes_credentials_and_leaves_the_address() -> None:
    address, credentials = parse_address("https://us%40er:p%2Fw%3A%21@gpu1:8188/x")
    assert isinstance(credentials, BasicAuth)
    assert credentials.username == "us@er"
    assert credentials.password.reveal() == "p/w:!"
    assert "p/w" not in repr((address, credentials))
    assert str(address) == "https://gpu1:8188/x"


def test_a_token_becomes_credentials_and_other_parameters_are_dropped() -> None:
    address, credentials = parse_address("gpu1:8188/?theme=dark&token=a%2Bb&x=1")
    assert isinstance(credentials, TokenAuth)
    assert credentials.token.reveal() == "a+b"
    assert address.base_url == "http://gpu1:8188"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("ftp://gpu1", "'ftp'"),
        ("file:///etc/passwd", "'file'"),
        ("http://", "no host"),
        (":8188", "no host"),
        ("gpu1:port", "'port'"),
        ("gpu1:0", "'0'"),
        ("gpu1:65536", "'65536'"),
        ("gpu1:80800000000000000000000", "a port is a number"),
        ("gpu1:٣", "a port is a number"),
        ("gpu 1", "a blank"),
        ("gpu1\\x", "a blank or the like"),
        ("http://gpu1/\x00", "a blank or the like"),
        ("[::1", "closing bracket"),
        ("[::1]8188", "closing bracket"),
        ("[hello::]:1", "IPv6"),
        ("1:2:3", "IPv6"),
        ("-gpu1", "host name"),
        ("gpu1..x", "host name"),
        ("a" * 300, "host name"),
        ("gpu<script>", "host name"),
        ("http://gpu1/a/../b", "'..'"),
        ("http://gpu1/%2e%2e/b", "'..'"),
    ],
)
def test_what_is_no_address_is_refused_by_name(text: str, names: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_address(text)
    assert names in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@gpu1:99999/",
        "http://user:hunter2@",
        "http://user:hunter2@gpu 1",
        "user:hunter2@gpu1:x",
        "http://user:a/hunter2@gpu1:x",
        "http://gpu1:x/?token=hunter2",
        "ftp://user:hunter2@gpu1/?token=hunter2#hunter2",
        "http://user:x@gpu1/?token=hunter2",
        "http://us\u00e9r:hunter2@-gpu1",
    ],
)
def test_a_refused_address_does_not_show_its_secret(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_address(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        address, _ = parse_address(text)
    except InvalidValue:
        return
    again, credentials = parse_address(address.base_url)
    assert again == address
    assert credentials is None


@given(
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,2}", fullmatch=True),
    st.integers(1, 65535),
    st.lists(st.from_regex(r"[a-zA-Z0-9._~-]{1,8}", fullmatch=True), max_size=3),
    st.text(max_size=20),
)
def test_an_address_survives_being_pasted(
    scheme: str, host: str, port: int, segments: list[str], password: str
) -> None:
    from urllib.parse import quote

    segments = [s for s in segments if s not in {".", "..", "ws", "index.html"}]
    prefix = "".join(f"/{segment}" for segment in segments)
    text = f"{scheme}://u:{quote(password, safe='')}@{host}:{port}{prefix}"
    address, credentials = parse_address(text)
    assert address == Address(scheme, host, port, prefix)  # type: ignore[arg-type]
    assert isinstance(credentials, BasicAuth)
    assert credentials.password.reveal() == password
