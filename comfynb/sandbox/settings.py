"""How one sandbox server is set up."""

import base64
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfynb.sandbox.versions import server_version

__all__ = ["AUTH_VARIABLE", "Authentication", "CacheMode", "Settings"]

AUTH_VARIABLE = "COMFYNB_SANDBOX_AUTH"
"""Environment variable that carries ``--auth`` without showing it in the process list."""

PREVIEW_METHODS = ("none", "auto", "latent2rgb", "taesd")


@dataclass(frozen=True, slots=True)
class Authentication:
    """What a client must show; parsed from ``basic:user:pw`` and the like, never printed."""

    kind: str
    name: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Authentication":
        """Read ``basic:USER:PASSWORD``, ``bearer:TOKEN``, ``header:NAME:VALUE``, ``token:TOKEN``.

        Raises ValueError that names the forms but not the text (it holds a secret).
        """
        kind, _, rest = text.partition(":")
        if kind in {"bearer", "token"} and rest:
            return cls(kind, secret=rest)
        name, separator, secret = rest.partition(":")
        if kind in {"basic", "header"} and separator and name:
            return cls(kind, name=name, secret=secret)
        raise ValueError(
            "authentication is given as basic:USER:PASSWORD, bearer:TOKEN, header:NAME:VALUE "
            "or token:TOKEN"
        )

    def admits(self, authorization: str, header: str, token: str) -> bool:
        """Say whether a request may pass.

        ``authorization`` is its ``Authorization`` header, ``header`` the value of the header
        ``name``, ``token`` its query parameter ``token`` (empty when absent).
        """
        scheme, _, credentials = authorization.partition(" ")
        match self.kind:
            case "basic":
                shown = _decode_basic(credentials) if scheme.lower() == "basic" else None
                expected = f"{self.name}:{self.secret}"
            case "bearer":
                shown = credentials.strip() if scheme.lower() == "bearer" else None
                expected = self.secret
            case "header":
                shown, expected = header, self.secret
            case _:
                shown, expected = token, self.secret
        return shown is not None and hmac.compare_digest(_bytes(shown), _bytes(expected))

    @property
    def challenge(self) -> str | None:
        """The ``WWW-Authenticate`` header of a 401, if the scheme has one."""
        return {"basic": 'Basic realm="ComfyUI"', "bearer": "Bearer"}.get(self.kind)


def _bytes(text: str) -> bytes:
    # A header may hold any bytes, which arrive as lone surrogates.
    return text.encode("utf-8", "surrogatepass")


def _decode_basic(credentials: str) -> str | None:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class CacheMode:
    """``classic`` keeps the last prompt's nodes, ``lru`` the last ``size``, ``none`` nothing."""

    kind: str = "classic"
    size: int = 0

    @classmethod
    def parse(cls, text: str) -> "CacheMode":
        """Read ``classic``, ``lru:N`` or ``none``; raises ValueError otherwise."""
        kind, _, size = text.partition(":")
        if kind in {"classic", "none"} and not size:
            return cls(kind)
        if kind == "lru" and size.isdigit() and int(size) > 0:
            return cls(kind, int(size))
        raise ValueError(f"{text!r} is no cache mode; they are classic, lru:N and none")


@dataclass(slots=True)
class Settings:
    """Everything that distinguishes one sandbox from another.

    ``speed`` divides all simulated waiting. ``vram_total`` (bytes) makes ``/system_stats`` show a
    GPU of that size; without it the sandbox calls itself a CPU server, which it is.
    ``samples`` puts sample pictures, models and workflows into the base directory (``None``:
    only when it has no input folder yet). ``choices`` overrules the options of combo inputs,
    ``{"LabLoader.name": ["small.safetensors"]}``; ``without`` removes node classes; both make
    backends that lack something.
    ``job_cancel`` adds ``POST /api/jobs/{id}/cancel``, which ComfyUI has since mid-2026;
    ``strict_prompt_ids`` refuses prompt ids that are not canonical UUIDs, as newer servers do.
    ``custom_nodes`` is a folder of extensions, whose routes are served beside ComfyUI's.
    """

    base_dir: Path
    version: str = "0.8.0"
    host: str = "127.0.0.1"
    port: int = 8188
    control_port: int | None = None
    speed: float = 1.0
    vram_total: int | None = None
    gpu_name: str = "Sandbox GPU"
    samples: bool | None = None
    auth: Authentication | None = None
    path_prefix: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cache: CacheMode = field(default_factory=CacheMode)
    preview_method: str = "none"
    max_upload_size: int = 100 * 1024 * 1024
    max_history: int = 10_000
    job_cancel: bool = False
    strict_prompt_ids: bool = False
    choices: dict[str, list[Any]] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    custom_nodes: Path | None = None

    def __post_init__(self) -> None:
        server_version(self.version)
        self.base_dir = Path(self.base_dir).resolve()
        if self.speed <= 0:
            raise ValueError(f"the speed must be greater than 0, not {self.speed}")
        if self.path_prefix:
            self.path_prefix = "/" + self.path_prefix.strip("/")
        if self.preview_method not in PREVIEW_METHODS:
            raise ValueError(
                f"{self.preview_method!r} is no preview method; "
                f"they are {', '.join(PREVIEW_METHODS)}"
            )
        if self.custom_nodes is not None and not self.custom_nodes.is_dir():
            raise ValueError(f"there is no folder of custom nodes at {self.custom_nodes}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS needs both a certificate file and a key file")

    def folder(self, kind: str) -> Path:
        """Return the directory of ``input``, ``output``, ``temp``, ``user`` or ``models``."""
        return self.base_dir / kind

    @property
    def folders(self) -> dict[str, Path]:
        """The directories that nodes read and write."""
        return {kind: self.folder(kind) for kind in ("input", "output", "temp")}

    @property
    def argv(self) -> list[str]:
        """The command line that ``/system_stats`` shows: that of a ComfyUI set up alike."""
        argv = ["main.py", "--port", str(self.port), "--listen", self.host]
        if self.vram_total is None:
            argv.insert(1, "--cpu")
        if self.cache.kind == "lru":
            argv += ["--cache-lru", str(self.cache.size)]
        elif self.cache.kind == "none":
            argv.append("--cache-none")
        if self.preview_method != "none":
            argv += ["--preview-method", self.preview_method]
        return argv
