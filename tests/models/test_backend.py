"""A backend's address: every form of host, and the URLs that come of it."""

import ipaddress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comfynb.models import BackendConfig, explain


def backend(host, **values):
    return BackendConfig(id="b", name="b", host=host, **values)


@pytest.mark.parametrize(
    ("host", "kept", "url"),
    [
        ("gpu1", "gpu1", "http://gpu1:8188"),
        ("GPU1.Lan", "gpu1.lan", "http://gpu1.lan:8188"),
        ("gpu1.example.org.", "gpu1.example.org.", "http://gpu1.example.org.:8188"),
        ("comfy_1", "comfy_1", "http://comfy_1:8188"),
        (" gpu1 ", "gpu1", "http://gpu1:8188"),
        ("3090.lan", "3090.lan", "http://3090.lan:8188"),
        ("bücher.example", "xn--bcher-kva.example", "http://xn--bcher-kva.example:8188"),
        ("192.168.0.7", "192.168.0.7", "http://192.168.0.7:8188"),
        ("::1", "::1", "http://[::1]:8188"),
        ("[::1]", "::1", "http://[::1]:8188"),
        ("2001:DB8:0:0::1", "2001:db8::1", "http://[2001:db8::1]:8188"),
        ("fe80::1%eth0", "fe80::1%eth0", "http://[fe80::1%eth0]:8188"),
        ("::ffff:192.0.2.1", "::ffff:c000:201", "http://[::ffff:c000:201]:8188"),
    ],
)
def test_hosts_that_are_taken(host, kept, url):
    made = backend(host)
    if ":" in kept:  # how an IPv4-mapped address is shortened differs between Python versions
        assert ipaddress.IPv6Address(made.host) == ipaddress.IPv6Address(kept)
        url = f"http://[{made.host}]:8188"
    else:
        assert made.host == kept
    assert made.base_url == url
    assert made.ws_url == url.replace("http", "ws", 1) + "/ws"
    assert backend(made.host).host == made.host
    assert BackendConfig.model_validate_json(made.model_dump_json()) == made
    assert httpx.URL(made.base_url).port == 8188
    assert urlsplit(made.ws_url).port == 8188


@pytest.mark.parametrize(
    "host",
    [
        "",
        "   ",
        "gpu 1",
        "gpu1:8188",
        "http://gpu1",
        "http://gpu1:8188/",
        "gpu1/path",
        "gpu1?x",
        "gpu1#x",
        "gpu1\\x",
        "user@gpu1",
        "user:password@gpu1",
        "gpu\n1",
        "gpu\x001",
        "-gpu1",
        "gpu1-",
        "gpu..1",
        ".gpu1",
        "..",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "12345",
        "127.0.0.01",
        "[gpu1]",
        "[::1",
        "::1]",
        ":::",
        "::1%",
        "::1%a/b",
        "1::2::3",
        "<script>",
        "$(id)",
        "gpu1;id",
        "*",
        "gpu1%00",
        "xn--\udcff",
    ],
)
def test_hosts_that_are_refused(host):
    with pytest.raises(ValidationError) as caught:
        backend(host)
    assert explain(caught.value).startswith("BackendConfig.host: ")


@given(st.text(max_size=20))
def test_any_host_is_refused_or_gives_a_url_that_leads_to_it(host):
    try:
        made = backend(host)
    except ValidationError:
        return
    for url in (made.base_url, made.ws_url):
        parts = urlsplit(url)
        assert (parts.hostname, parts.port) == (made.host, 8188)
        assert parts.username is None
        assert parts.path in {"", "/ws"}
        assert (parts.query, parts.fragment) == ("", "")
    assert httpx.URL(made.base_url).port == 8188


@pytest.mark.parametrize(
    ("prefix", "kept"),
    [
        ("", ""),
        ("/", ""),
        ("comfy", "/comfy"),
        ("/comfy/", "/comfy"),
        ("//evil.example//x/", "/evil.example/x"),
        ("/a b/ü", "/a%20b/%C3%BC"),
        ("/a%20b", "/a%20b"),
        ("/100%", "/100%25"),
        ("/%zz", "/%25zz"),
        ("/user/ada@home/proxy/8188", "/user/ada@home/proxy/8188"),
    ],
)
def test_path_prefixes(prefix, kept):
    made = backend("gpu1", scheme="HTTPS", port=443, path_prefix=prefix)
    assert made.path_prefix == kept
    assert made.base_url == f"https://gpu1:443{kept}"
    assert made.ws_url == f"wss://gpu1:443{kept}/ws"
    assert backend("gpu1", path_prefix=made.path_prefix).path_prefix == kept


@given(st.text(max_size=20))
def test_any_path_prefix_is_refused_or_stays_a_path(prefix):
    try:
        made = backend("gpu1", path_prefix=prefix)
    except ValidationError:
        return
    parts = urlsplit(made.base_url)
    assert parts.netloc == "gpu1:8188"
    assert parts.path == made.path_prefix
    assert made.base_url.isascii()
    assert not made.base_url.endswith("/")
    assert backend("gpu1", path_prefix=made.path_prefix).path_prefix == made.path_prefix
