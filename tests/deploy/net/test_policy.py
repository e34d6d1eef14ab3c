"""Which URLs are asked at all, and how URLs are shown."""

import ipaddress
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comfynb.deploy.net import NetPolicy, shown, without_secrets
from comfynb.errors import AddressRefused, InvalidValue

STRICT = NetPolicy()

REFUSED = [
    # scheme
    ("http://models.example/x", "plain http"),
    ("ftp://models.example/x", "only https"),
    ("file:///etc/passwd", "not a URL"),
    ("gopher://127.0.0.1:70/x", "only https"),
    ("javascript:alert(1)", "not a URL"),
    ("data:text/plain,x", "not a URL"),
    ("//models.example/x", "only https"),
    ("models.example/x", "not a URL"),
    ("", "not a URL"),
    ("https://", "not a URL"),
    ("https:///x", "not a URL"),
    ("https:models.example", "not a URL"),
    # user names, blanks, what parsers read differently
    ("https://user@models.example/", "user name"),
    ("https://user:word@models.example/", "user name"),
    ("https://models.example@127.0.0.1/", "user name"),
    ("https://@models.example/", "user name"),
    ("https://models.example\\@127.0.0.1/", "backslash"),
    ("https://models.example /", "blank"),
    ("https://models.example/\n", "control"),
    ("https://models.example/\r\nHost: 127.0.0.1", "control"),
    ("https://mod\tels.example/", "control"),
    ("https://models.example/\x00", "control"),
    ("https://models.example/" + "x" * 9000, "longer"),
    # ports
    ("https://models.example:22/", "port 22"),
    ("https://models.example:80/", "port 80"),
    ("https://models.example:8443/", "port 8443"),
    ("https://models.example:0/", "port 0"),
    ("https://models.example:99999/", "not a URL"),
    ("https://models.example:-1/", "not a URL"),
    ("https://models.example:4 43/", "blank"),
    # addresses, plainly and in other spellings
    ("https://127.0.0.1/", "loopback"),
    ("https://[::1]/", "loopback"),
    ("https://[::]/", "unspecified"),
    ("https://0.0.0.0/", "unspecified"),
    ("https://169.254.169.254/latest/meta-data/", "link-local"),
    ("https://[fe80::1%25eth0]/", "network interface"),
    ("https://[fe80::1%eth0]/", "network interface"),
    ("https://[::ffff:127.0.0.1]/", "disguise"),
    ("https://[0:0:0:0:0:ffff:7f00:1]/", "disguise"),
    ("https://[64:ff9b::127.0.0.1]/", "NAT64"),
    ("https://[2002:7f00:1::]/", "6to4"),
    ("https://2130706433/", "odd spelling"),
    ("https://0x7f000001/", "odd spelling"),
    ("https://0X7F000001/", "odd spelling"),
    ("https://017700000001/", "odd spelling"),
    ("https://0177.0.0.1/", "odd spelling"),
    ("https://0x7f.0.0.1/", "odd spelling"),
    ("https://127.1/", "odd spelling"),
    ("https://127.0.1/", "odd spelling"),
    ("https://127.0.0.01/", "odd spelling"),
    ("https://127.0.0.1./", "not a host name"),
    ("https://8.8.8/", "odd spelling"),
    ("https://1.1/", "odd spelling"),
    ("https://256.1.1.1/", "odd spelling"),
    ("https://example.1/", "odd spelling"),
    ("https://0/", "odd spelling"),
    ("https://１２７.0.0.1/", "loopback"),
    ("https://①②⑦.⓪.⓪.①/", "loopback"),
    ("https://127。0。0。1/", "loopback"),
    ("https://0ｘ7f.1/", "odd spelling"),
    # names that are none
    ("https://-models.example/", "not a host name"),
    ("https://models..example/", "not a host name"),
    ("https://.models.example/", "not a host name"),
    ("https://models.example%00.evil/", "not a"),
    ("https://models.example%2f127.0.0.1/", "odd spelling"),
    ("https://" + "a" * 64 + ".example/", "not a"),
    ("https://" + ".".join(["a" * 60] * 5) + "/", "not a"),
]


@pytest.mark.parametrize(("url", "word"), REFUSED, ids=lambda value: repr(value)[:50])
def test_what_is_not_a_plain_public_https_url_is_refused(url: str, word: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        STRICT.check(url)
    assert word in str(caught.value)
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://models.example", "https://models.example/"),
        ("https://MODELS.Example/A", "https://models.example/A"),
        ("https://models.example:443/a#b", "https://models.example/a"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://models.example/a%2Fb?x=%2f%20+y", "https://models.example/a%2Fb?x=%2f%20+y"),
        ("https://models.example?q=1", "https://models.example/?q=1"),
        ("https://models.example/a/../b", "https://models.example/b"),
        ("https://93.184.216.34/a", "https://93.184.216.34/a"),
        ("https://[2606:4700:4700::1111]/a", "https://[2606:4700:4700::1111]/a"),
        ("https://under_score.example/@a:b/c@d", "https://under_score.example/@a:b/c@d"),
    ],
)
def test_plain_urls_are_sent_as_they_were_written(url: str, sent: str) -> None:
    target = STRICT.check(url)
    assert str(target.url) == sent
    assert (target.scheme, target.port, target.allowed) == ("https", 443, False)


def test_what_the_operator_named_may_be_private_and_plain() -> None:
    policy = NetPolicy(frozenset({"127.0.0.1:8080", "[::1]:9000", "Files.Lab:80"}))
    assert policy.check("http://127.0.0.1:8080/x").allowed
    assert policy.check("http://[::1]:9000/x").allowed
    assert policy.check("http://files.lab/x").allowed
    for other in ("http://127.0.0.1:8081/", "http://127.0.0.2:8080/", "https://files.lab:8080/"):
        with pytest.raises(AddressRefused):
            policy.check(other)
    with pytest.raises(AddressRefused, match="user name"):
        policy.check("http://u:p@127.0.0.1:8080/")


@pytest.mark.parametrize(
    "entry", ["", "host", "host:0", "host:99999", "http://h:80", "*:80", "h:80/x"]
)
def test_an_allowance_names_one_host_and_port(entry: str) -> None:
    with pytest.raises(InvalidValue, match="host:port"):
        NetPolicy(frozenset({entry}))


def test_a_token_goes_only_over_https_or_to_this_very_machine() -> None:
    policy = NetPolicy(
        frozenset({"127.0.0.1:8080", "[::1]:80", "lab:80", "lab:444", "10.0.0.1:80"})
    )
    may = {
        url: policy.check(url).may_carry_secrets
        for url in (
            "https://models.example/",
            "https://lab:444/",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://lab/",
            "http://10.0.0.1/",
        )
    }
    assert list(may.values()) == [True, True, True, True, False, False]


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """An IPv4 address as inet_aton takes it: one to four parts, in three notations each."""
    value = int(draw(st.ip_addresses(v=4)))
    count = draw(st.integers(1, 4))
    parts = [value >> (24 - 8 * place) & 0xFF for place in range(count - 1)]
    parts.append(value & (1 << (8 * (5 - count))) - 1)
    notation = st.sampled_from(
        (str, hex, lambda n: f"0{n:o}", lambda n: f"0X{n:X}", lambda n: f"0x{n:08x}")
    )
    return ".".join(draw(notation)(part) for part in parts)


@given(spellings())
@example("8.8.8.8")
@example("127.0.0.1")
def test_no_other_spelling_of_an_address_is_taken(spelling: str) -> None:
    value = ipaddress.IPv4Address(socket.inet_aton(spelling))
    if spelling == str(value):
        return
    for host in (spelling, f"{spelling}.", f"[::ffff:{spelling}]"):
        with pytest.raises(AddressRefused):
            STRICT.check(f"https://{host}/x")


@given(st.text(max_size=60))
@example("１２７.0.0.1")
@example("[::1")
@example("a\ud800b")
def test_a_host_is_refused_or_a_plain_name_or_public(host: str) -> None:
    try:
        target = STRICT.check(f"https://{host}/x")
    except AddressRefused:
        return
    assert target.host == target.url.host_subcomponent.strip("[]")
    assert target.host.isascii()
    assert target.port == 443
    assert target.url.raw_user is None
    if target.literal:
        assert ipaddress.ip_address(target.host).is_global
    else:
        with pytest.raises(OSError, match="illegal"):
            socket.inet_aton(target.host)


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@models.example/x",
        f"https://{SECRET}@models.example/x",
        f"https://user:a/{SECRET}@models.example/x",
        f"https://user:{SECRET}/a@models.example/x",
        f"https://user:{SECRET}?a@models.example/x",
        f"https://user:{SECRET}#a@models.example/x",
        f"https://user:{SECRET}@a@models.example/x",
        f"user:{SECRET}@models.example/x",
        f"https://models.example/x?token={SECRET}",
        f"https://models.example/x#{SECRET}",
        f"https://models.example:bad/x?api_key={SECRET}",
        f"https://models.example/x?X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}",
    ],
)
def test_no_secret_of_a_url_is_shown_or_kept(url: str) -> None:
    assert SECRET not in shown(url)
    assert SECRET not in without_secrets(url)
    said: list[object] = []
    try:
        said.append(STRICT.check(url))
    except AddressRefused as error:
        said += [error, error.url]
    for one in said:
        assert SECRET not in f"{one} {one!r}"


def test_what_is_kept_of_a_url_keeps_its_other_parameters() -> None:
    kept = without_secrets("https://models.example/x?fileId=7&token=abc&type=Model#part")
    assert kept == "https://models.example/x?fileId=7&type=Model"
    assert without_secrets("https://models.example/a%2Fb?q=a%20b") == (
        "https://models.example/a%2Fb?q=a%20b"
    )


@given(st.text(max_size=300))
def test_anything_is_shown_short_and_printable(text: str) -> None:
    label = shown(text)
    assert label.isprintable()
    assert len(label) <= 200
