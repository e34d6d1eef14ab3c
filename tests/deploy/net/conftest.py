"""An internet of our own: names, public addresses with servers behind, and traps everywhere else.

The traps are real listening sockets. Whatever is connected to and is not a server of this world
ends in one, so that a connection that should not have been made is one that was accepted.
"""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from comfynb.deploy.net import Fetcher, NetPolicy

PUBLIC = "93.184.216.34"
PUBLIC_2 = "151.101.1.6"
PUBLIC_6 = "2606:2800:220:1::6"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Trap:
    """Sockets that listen on this machine's own addresses and count who comes."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}
        first = self._listen("127.0.0.1", 0)
        self.port = first.getsockname()[1]
        for address in ("127.0.0.2", "::1"):
            try:
                self._listen(address, self.port)
            except OSError as error:  # no IPv6 here, or the port is taken there
                self.lacking = f"{address}: {error}"

    def _listen(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.bind((address, port))
            made.listen(256)
            made.setblocking(False)
        except OSError:
            made.close()
            raise
        self._sockets[address] = made
        return made

    @property
    def addresses(self) -> list[str]:
        return list(self._sockets)

    def count(self) -> int:
        """How many connections were made since the last time: the kernel has accepted them."""
        came = 0
        for one in self._sockets.values():
            while True:
                try:
                    connection, _ = one.accept()
                except BlockingIOError:
                    break
                connection.close()
                came += 1
        return came

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()


class World:
    """``names`` maps a host to the answers of its name server, one after the other."""

    def __init__(self, trap: Trap, tls: "Certificates") -> None:
        self.trap = trap
        self.tls = tls
        self.names: dict[str, list[list[str]]] = {}
        self.lookups: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self._places: dict[tuple[str, int], int] = {}
        self._closers: list[Callable[[], Awaitable[object]]] = []

    # ---- names and places

    async def lookup(self, host: str, port: int) -> list[str]:
        self.lookups.append(host)
        answers = self.names.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connecting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(sock: socket.socket, address: Any) -> Any:
            if sock.family not in {socket.AF_INET, socket.AF_INET6}:
                return real(sock, address)
            place = (str(address[0]), int(address[1]))
            here = "::1" if sock.family == socket.AF_INET6 else "127.0.0.1"
            self.connected.append(place)
            if place in self._places:
                return real(sock, (here, self._places[place]))
            if place[1] != self.trap.port or place[0] not in self.trap.addresses:
                place = (here if here in self.trap.addresses else "127.0.0.1", self.trap.port)
            return real(sock, place)

        return connect

    def fetcher(self, **options: Any) -> Fetcher:
        return Fetcher(lookup=self.lookup, tls=self.tls.client, **{"timeout": 20.0, **options})

    # ---- servers

    async def serve(
        self,
        host: str,
        handler: Handler,
        *,
        address: str = PUBLIC,
        port: int = 443,
        secure: bool = True,
        named: bool = True,
    ) -> None:
        """Serve every path of ``https://host`` at a public address."""

        async def each(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", each)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        here = "::1" if ":" in address else "127.0.0.1"
        context = self.tls.server(host) if secure else None
        site = web.TCPSite(runner, here, 0, ssl_context=context)
        await site.start()
        self._closers.append(runner.cleanup)
        self._place(host, address, port, runner.addresses[0][1], named=named)

    async def serve_raw(
        self, host: str, talk: Raw, *, address: str = PUBLIC, port: int = 443
    ) -> None:
        """Serve bytes as they are."""

        async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # the client has had enough
            finally:
                writer.close()

        server = await asyncio.start_server(each, "127.0.0.1", 0, ssl=self.tls.server(host))

        async def close() -> None:
            server.close()
            if hasattr(server, "close_clients"):  # Python 3.13
                server.close_clients()

        self._closers.append(close)
        self._place(host, address, port, server.sockets[0].getsockname()[1], named=True)

    def _place(self, host: str, address: str, port: int, local: int, *, named: bool) -> None:
        self._places[address, port] = local
        if named:
            self.names.setdefault(host, [[address]])

    async def plain(self, handler: Handler) -> tuple[str, NetPolicy]:
        """Serve plain HTTP on this machine; gives its URL and the policy that allows it."""

        async def each(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", each)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._closers.append(runner.cleanup)
        port = runner.addresses[0][1]
        self._places["127.0.0.1", port] = port
        return f"http://127.0.0.1:{port}", NetPolicy(frozenset({f"127.0.0.1:{port}"}))

    async def close(self) -> None:
        for close in reversed(self._closers):
            await close()


class Certificates:
    """An authority of our own, and certificates for hosts by it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "comfynb tests")])
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        authority = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._servers: dict[str, ssl.SSLContext] = {}
        self.asked_for: list[str | None] = []
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        pem = authority.public_bytes(serialization.Encoding.PEM).decode()
        self.client = ssl.create_default_context(cadata=pem)

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def server(self, host: str) -> ssl.SSLContext:
        """The context of a server that is ``host``."""
        if host in self._servers:
            return self._servers[host]
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        certificate = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(self._identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._folder / f"{len(self._servers)}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.sni_callback = lambda _, name, __: self.asked_for.append(name)
        self._servers[host] = context
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    made.close()


@pytest.fixture
async def world(
    trap: Trap, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    certificates.asked_for.clear()
    made = World(trap, certificates)
    monkeypatch.setattr(socket.socket, "connect", made.connecting(socket.socket.connect))
    yield made
    await made.close()


@pytest.fixture
def hosts() -> dict[str, str]:
    """The public addresses that tests use."""
    return {"public": PUBLIC, "public_2": PUBLIC_2, "public_6": PUBLIC_6}
