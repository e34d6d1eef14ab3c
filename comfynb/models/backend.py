"""A ComfyUI server that comfynb may use, and what is known of it right now."""

import ipaddress
import re
from enum import Enum
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import quote, unquote

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from comfynb.models._base import (
    ComfynbModel,
    Count,
    Name,
    Percent,
    StoredModel,
    UtcDatetime,
    utcnow,
)

__all__ = ["AuthConfig", "AuthKind", "BackendConfig", "BackendStatus"]

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")

_HOST_FORMS = "a host name, an IPv4 address, or an IPv6 address"


def _check_host(host: str) -> str:
    """Return the host in lower case and without brackets; IPv6 in its shortest form."""
    text = host.strip()
    if not text:
        raise ValueError(f"must not be empty: give {_HOST_FORMS}")
    # Neither is quoted: there may be a password before the @ or a token behind the ?.
    if "@" in text or "?" in text:
        raise ValueError(f"must be {_HOST_FORMS} alone, without user name, password and query")
    if any(character in "/\\#" or character.isspace() for character in text):
        raise ValueError(
            f"must be {_HOST_FORMS} alone, without scheme, path and spaces, not {host!r:.80}"
        )
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            raise ValueError(f"has brackets around what is no IPv6 address: {host!r:.80}")
    if ":" in text:
        return _check_ipv6(text, host)
    return _check_name_or_ipv4(text, host)


def _check_ipv6(text: str, host: str) -> str:
    address, _, zone = text.partition("%")
    if "%" in text and not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", zone):
        raise ValueError(f"has a zone that is no interface name: {host!r:.80}")
    try:
        shortest = ipaddress.IPv6Address(address).compressed
    except ValueError:
        raise ValueError(
            f"must be {_HOST_FORMS}, not {host!r:.80} (the port is a field of its own)"
        ) from None
    return f"{shortest}%{zone}" if "%" in text else shortest


def _check_name_or_ipv4(text: str, host: str) -> str:
    name = text.lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"is no host name: {host!r:.80}") from None
    labels = name.removesuffix(".").split(".")
    if labels[-1].isdigit():
        try:
            return ipaddress.IPv4Address(name).compressed
        except ValueError:
            raise ValueError(f"is no IPv4 address: {host!r:.80}") from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            f"must be {_HOST_FORMS}, not {host!r:.80}: a host name has letters, digits, "
            "hyphens and underscores between its dots"
        )
    return name


def _check_path_prefix(prefix: str) -> str:
    if any(character in "?#\\" or not character.isprintable() for character in prefix):
        raise ValueError("must be the path part of a URL, without ?, #, backslash or line breaks")
    segments = [segment for segment in prefix.strip().split("/") if segment]
    if any(unquote(segment) in {".", ".."} for segment in segments):
        raise ValueError("must not hold . or .. as a segment")
    quoted = [quote(segment, safe="!$&'()*+,;=:@~%") for segment in segments]
    # What is percent-encoded already stays so; a percent sign of its own is encoded now.
    return "".join("/" + re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", segment) for segment in quoted)


def _check_agent_url(url: str) -> str:
    # Not quoted: there may be a password before the @ or a token behind the ?.
    if not re.fullmatch(r"https?://[^\s@?#\\]+", url):
        raise ValueError("must be http://host:port or https://..., without password and query")
    return url.rstrip("/")


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class AuthKind(str, Enum):
    """How a server wants its credentials."""

    BASIC = "basic"  # Authorization: Basic, user name and password
    BEARER = "bearer"  # Authorization: Bearer
    HEADER = "header"  # a header of its own
    TOKEN = "token"  # noqa: S105 - ?token= in the query


class AuthConfig(ComfynbModel):
    """Where a backend's credentials come from; the secret itself is never here."""

    kind: AuthKind
    username: str | None = None
    """User name for Basic authentication."""
    header: str | None = None
    """Name of the header that carries the secret."""
    env: str | None = None
    """Name of the environment variable that holds the password, token or header value."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        # No value is quoted: people paste secrets into the wrong field.
        if (self.kind is AuthKind.BASIC) != (self.username is not None):
            raise ValueError("username goes with kind 'basic', and with no other kind")
        if self.username is not None and (
            not self.username or ":" in self.username or not self.username.isprintable()
        ):
            raise ValueError("username must not be empty, nor hold a colon or control characters")
        if (self.kind is AuthKind.HEADER) != (self.header is not None):
            raise ValueError("header goes with kind 'header', and with no other kind")
        if self.header is not None and not _HEADER.fullmatch(self.header):
            raise ValueError("header must be a header's name, such as X-Api-Key")
        if self.env is not None and not _ENV.fullmatch(self.env):
            raise ValueError(
                "env must be the name of an environment variable (letters, digits, underscores), "
                "never the secret itself"
            )
        return self


class BackendConfig(StoredModel):
    """Configuration for a ComfyUI backend instance."""

    table_name: ClassVar[str] = "backends"

    id: Name
    """Unique identifier (UUID)."""
    name: Name
    """Human-readable name, e.g. 'PC1 - RTX 4090'."""
    host: Annotated[str, AfterValidator(_check_host)]
    """Host name or IP address; IPv6 is kept without brackets."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8188
    """ComfyUI's port."""
    enabled: bool = True
    """Whether the backend may be used."""
    capabilities: list[Name] = Field(default_factory=list)
    """What it can run, e.g. ['sd15', 'sdxl', 'flux']."""
    max_concurrent_jobs: Annotated[int, Field(ge=1)] = 1
    """How many prompts run on it at once (1 for one GPU)."""
    tags: list[Name] = Field(default_factory=list)
    """Tags for grouping by hand."""
    created_at: UtcDatetime = Field(default_factory=utcnow)
    updated_at: UtcDatetime = Field(default_factory=utcnow)
    scheme: Annotated[Literal["http", "https"], BeforeValidator(_lower)] = "http"
    path_prefix: Annotated[str, AfterValidator(_check_path_prefix)] = ""
    """Path before ComfyUI's own routes, '' or '/some/path'."""
    auth: AuthConfig | None = None
    """Where its credentials come from, if it wants any."""
    agent_url: Annotated[str, AfterValidator(_check_agent_url)] | None = None
    """Where its metrics agent answers, if neither on ComfyUI's own port nor on port 8189."""

    @property
    def base_url(self) -> str:
        """HTTP base URL, without a slash at the end."""
        return f"{self.scheme}://{self._authority}{self.path_prefix}"

    @property
    def ws_url(self) -> str:
        """WebSocket URL."""
        scheme = "wss" if self.scheme == "https" else "ws"
        return f"{scheme}://{self._authority}{self.path_prefix}/ws"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class BackendStatus(ComfynbModel):
    """Runtime status of a ComfyUI backend; not stored, refreshed again and again."""

    backend_id: Name
    online: bool
    """Whether the backend answers."""
    last_seen: UtcDatetime
    """Last successful health check."""
    current_job_id: str | None = None
    """Id of the job that runs now."""
    queue_depth: Count = 0
    """Prompts in its queue."""
    gpu_name: str = "Unknown"
    gpu_memory_total: Count = 0
    """VRAM in MB."""
    gpu_memory_used: Count = 0
    """VRAM in use, MB."""
    gpu_utilization: Percent = 0.0
    """0 to 100 %."""
    gpu_temperature: int = 0
    """Degrees Celsius."""
    cpu_utilization: Percent = 0.0
    """0 to 100 %."""
    ram_total: Count = 0
    """RAM in MB."""
    ram_used: Count = 0
    """RAM in use, MB."""

    @property
    def gpu_memory_free(self) -> int:
        """Free VRAM in MB."""
        return self.gpu_memory_total - self.gpu_memory_used

    @property
    def gpu_memory_percent(self) -> float:
        """VRAM in use as a percentage, 0 where the total is unknown."""
        if self.gpu_memory_total == 0:
            return 0.0
        return self.gpu_memory_used / self.gpu_memory_total * 100
