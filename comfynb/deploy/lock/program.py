"""Runs a program without a shell, with a bounded time and output and none of our secrets."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from comfynb.errors import DeploymentError

__all__ = ["Finished", "plain_environment", "run_program"]

MOST_OUTPUT = 64 * 2**20
_KEPT = ("PATH", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program left behind."""

    code: int
    out: bytes
    error: str


def plain_environment(**more: str) -> dict[str, str]:
    """The few variables that a program needs; tokens and settings of this user stay here."""
    return {**{name: os.environ[name] for name in _KEPT if name in os.environ}, **more}


async def run_program(
    arguments: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    seconds: float,
    what: str,
) -> Finished:
    """Run a program to its end. Raises DeploymentError where it cannot start or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *map(str, arguments),
            cwd=cwd,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise DeploymentError(
            f"{what} cannot be started ({error.strerror}): install {arguments[0]}."
        ) from None
    try:
        async with asyncio.timeout(seconds):
            out, error_text = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            code = await process.wait()
    except TimeoutError:
        raise DeploymentError(f"{what} took longer than {seconds:.0f} s: try again.") from None
    finally:
        await _end(process)
    return Finished(code, out, error_text.decode("utf-8", "replace"))


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    found = bytearray()
    while stream is not None and (part := await stream.read(1 << 16)):
        found += part
        if len(found) > MOST_OUTPUT:
            raise DeploymentError("A program printed more than 64 MiB: it was stopped.")
    return bytes(found)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and whatever it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
        await process.wait()
