"""Which name this kernel works under, and the e-mail address that stands for it."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from comfynb.errors import UsageError
from comfynb.models import User

__all__ = ["Found", "Identity", "email_of", "find_identity"]

Found = Literal["given", "COMFYNB_USER", "JUPYTERHUB_USER", "git", "account"]
"""Where a name was found."""

GIT_TIMEOUT = 2.0
"""Seconds; a home folder on a slow network must not keep a Workbench from opening."""

LONGEST = 254
"""Characters of an e-mail address; RFC 5321 allows no more."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A name as it was found, the address that stands for it, and where it was found."""

    name: str
    email: str
    found: Found


def email_of(name: str, *, strict: bool = False) -> str:
    """Return the e-mail address for a name: itself if it has an ``@``, else ``name@localhost``.

    The domain is put in lower case. What an address cannot hold (spaces, control characters, and
    the ``%`` itself) is percent-encoded, so that two names never share an address; with ``strict``
    such a name is refused instead, since somebody typed it.

    Raises:
        UsageError: the name cannot be made an address.
    """
    name = name.strip()
    encoded = "".join(map(_encoded, name))
    if strict and encoded != name:
        raise UsageError(f"{name!r:.80} is no name of a user: leave out spaces and %.")
    local, at, domain = encoded.rpartition("@")
    email = f"{local}@{domain.lower()}" if at else f"{domain}@localhost"
    try:
        User(email=email)
    except ValidationError:
        email = ""
    if not email or len(email) > LONGEST:
        raise UsageError(
            f"{name!r:.80} is no name of a user: give a name such as ada, or an e-mail address "
            "such as ada@example.org."
        )
    return email


def _encoded(character: str) -> str:
    if character.isprintable() and character not in " %":
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def find_identity(
    explicit: str | None = None, *, environ: Mapping[str, str] = os.environ
) -> Identity:
    """Return who works here: given, COMFYNB_USER, JUPYTERHUB_USER, git's user.email, the account.

    Blocks while git is asked: call it in a thread.

    Raises:
        UsageError: the name that was given, or COMFYNB_USER, is no name.
    """
    if explicit is not None:
        return Identity(explicit.strip(), email_of(explicit, strict=True), "given")
    wanted = environ.get("COMFYNB_USER", "").strip()
    if wanted:
        return Identity(wanted, email_of(wanted, strict=True), "COMFYNB_USER")
    hub = environ.get("JUPYTERHUB_USER", "").strip()
    if hub:
        return Identity(hub, email_of(hub), "JUPYTERHUB_USER")
    git = _git_email(environ)
    if "@" in git:
        return Identity(git, email_of(git), "git")
    account = _account()
    return Identity(account, email_of(account), "account")


def _git_email(environ: Mapping[str, str]) -> str:
    """What git knows as user.email; "" if there is no git, or it does not know.

    Only the person's own settings count: a folder that was downloaded may bring a ``.git`` with
    somebody else's address.
    """
    git = shutil.which("git", path=environ.get("PATH"))
    if git is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - git itself, with fixed arguments
            [git, "config", "--global", "--get", "user.email"],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=GIT_TIMEOUT,
            env=dict(environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode != 0:
        return ""
    return done.stdout.decode("utf-8", "replace").strip()


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container may run as a number that has no name.
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "user"
