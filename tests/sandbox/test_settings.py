"""Passwords, TLS and the other ways in which one sandbox differs from another."""

import base64
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.sandbox import Authentication, CacheMode, Settings

BASIC = base64.b64encode("ann:pä:ss".encode()).decode()


@pytest.mark.parametrize(
    ("auth", "headers", "query", "challenge"),
    [
        ("basic:ann:pä:ss", {"Authorization": f"Basic {BASIC}"}, "", "Basic"),
        ("bearer:t0k", {"Authorization": "Bearer t0k"}, "", "Bearer"),
        ("header:X-Api-Key:k:v", {"X-Api-Key": "k:v"}, "", None),
        ("token:t0k", {}, "token=t0k", None),
    ],
)
async def test_only_who_shows_the_secret_gets_in(  # noqa: PLR0917
    serve, session, auth, headers, query, challenge
):
    server = await serve(auth=auth)
    for path in ("/prompt", "/api/queue", "/sandbox/stats"):
        async with session.get(server.url + path) as answer:
            assert answer.status == 401
            assert (answer.headers.get("WWW-Authenticate", "").partition(" ")[0] or None) == (
                challenge
            )
        wrong = {name: value + "x" for name, value in headers.items()}
        async with session.get(f"{server.url}{path}?{query and query + 'x'}", headers=wrong) as a:
            assert a.status == 401
        async with session.get(f"{server.url}{path}?{query}", headers=headers) as answer:
            assert answer.status == 200
    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        await session.ws_connect(f"{server.url}/ws")
    async with session.ws_connect(f"{server.url}/ws?{query}", headers=headers) as ws:
        assert (await ws.receive_json())["type"] == "status"
    # whoever may use this machine may control the sandbox
    async with session.get(f"{server.control_url}/sandbox/stats") as answer:
        assert answer.status == 200


# With lone surrogates: a header may hold any bytes.
anything = st.text(st.characters(), max_size=20)


@given(st.sampled_from(["", "Basic ", "Bearer "]), anything, anything, anything)
def test_no_credentials_break_the_check(scheme, credentials, header, token):
    authorization = scheme + credentials
    for text in ("basic:a:b", "bearer:c", "header:D:e", "token:f"):
        assert Authentication.parse(text).admits(authorization, header, token) in {True, False}


@pytest.mark.parametrize("text", ["", "basic", "basic:a", "basic::b", "bearer:", "digest:a:b"])
def test_wrong_authentication_is_refused_without_showing_it(text):
    with pytest.raises(ValueError, match="basic:USER:PASSWORD") as refusal:
        Authentication.parse(text)
    assert "digest" not in str(refusal.value)


def test_secrets_are_not_shown():
    assert "sesame" not in repr(Authentication.parse("basic:ann:sesame"))
    settings = Settings(Path(), auth=Authentication.parse("header:X-Key:sesame"))
    assert "sesame" not in repr(settings)


def certificate(folder: Path) -> tuple[Path, Path]:
    pytest.importorskip("cryptography", reason="it makes the certificate for the TLS test")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


async def test_tls(serve, session, tmp_path):
    cert, key = certificate(tmp_path)
    server = await serve(tls_cert=cert, tls_key=key, path_prefix="p")
    assert server.url.startswith("https://127.0.0.1:")
    trust = ssl.create_default_context(cafile=str(cert))
    async with session.get(f"{server.url}/prompt", ssl=trust) as answer:
        assert answer.status == 200
    async with session.ws_connect(f"{server.url}/ws", ssl=trust) as ws:
        assert (await ws.receive_json())["type"] == "status"
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await session.get(f"{server.url}/prompt")


async def test_ipv6(serve, connect):
    server = await serve(host="::1")
    assert server.url.startswith("http://[::1]:")
    await connect(server)


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"version": "0.1"}, "0.3.64, 0.8.0"),
        ({"speed": -1}, "-1"),
        ({"preview_method": "fast"}, "latent2rgb"),
        ({"tls_key": Path("k")}, "certificate"),
    ],
)
def test_wrong_settings_are_named(options, culprit):
    with pytest.raises(ValueError, match=culprit):
        Settings(Path(), **options)


def test_cache_modes():
    assert CacheMode.parse("lru:10") == CacheMode("lru", 10)
    for text in ("lru", "lru:0", "lru:x", "none:3", "ram"):
        with pytest.raises(ValueError, match="classic, lru:N and none"):
            CacheMode.parse(text)
