"""A kernel always finds a name, in a fixed order, and two names never share an address."""

import getpass
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.people import email_of, find_identity
from comfynb.deploy.people import identity as module
from comfynb.errors import UsageError
from comfynb.models import User


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An account with git, whose global configuration knows an address."""
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    (tmp_path / ".gitconfig").write_text("[user]\n\temail = Ada@Example.ORG\n")
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}


def test_the_order_in_which_names_are_looked_for(home, tmp_path):
    environ = {**home, "COMFYNB_USER": "bob", "JUPYTERHUB_USER": "cleo"}
    seen = []
    found = find_identity("dora@example.org", environ=environ)
    seen.append((found.email, found.found))
    for variable in ("COMFYNB_USER", "JUPYTERHUB_USER"):
        found = find_identity(environ=environ)
        seen.append((found.email, found.found))
        environ[variable] = " "  # set to nothing is not set
    found = find_identity(environ=environ)
    seen.append((found.email, found.found))
    (tmp_path / ".gitconfig").unlink()
    found = find_identity(environ=environ)
    seen.append((found.email, found.found))
    assert seen == [
        ("dora@example.org", "given"),
        ("bob@localhost", "COMFYNB_USER"),
        ("cleo@localhost", "JUPYTERHUB_USER"),
        ("Ada@example.org", "git"),
        ("ada@localhost", "account"),
    ]


def test_a_repository_that_was_downloaded_names_nobody(home, tmp_path, monkeypatch):
    folder = tmp_path / "downloaded"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / ".git" / "config").write_text("[user]\n\temail = boss@example.org\n")
    monkeypatch.chdir(folder)
    assert find_identity(environ=home).email == "Ada@example.org"
    (tmp_path / ".gitconfig").unlink()
    assert find_identity(environ=home).found == "account"


@pytest.mark.parametrize("script", ["exit 1", "echo not-an-address", "echo", "sleep 30"])
def test_git_that_knows_nothing_or_hangs_is_passed_over(home, tmp_path, monkeypatch, script):
    monkeypatch.setattr(module, "GIT_TIMEOUT", 0.2)
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec sleep')}\n")
    program.chmod(0o755)
    environ = {**home, "PATH": f"{program.parent}:{home['PATH']}"}
    assert find_identity(environ=environ).found == "account"
    assert find_identity(environ={"PATH": str(tmp_path / "empty")}).found == "account"


def test_an_account_without_a_name_has_a_number(tmp_path, monkeypatch):
    def nobody():
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nobody)
    found = find_identity(environ={"PATH": str(tmp_path)})
    assert found.email == f"uid-{os.getuid()}@localhost"


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("ada", "ada@localhost"),
        (" ada ", "ada@localhost"),
        ("Ada@Example.ORG", "Ada@example.org"),
        ("Ada Lovelace", "Ada%20Lovelace@localhost"),
        ("50%", "50%25@localhost"),
        ("Zoë", "Zoë@localhost"),
        ("a\nb", "a%0Ab@localhost"),
        ('"a b"@example.org', '"a%20b"@example.org'),
    ],
)
def test_the_address_of_a_name(name, email):
    assert email_of(name) == email


@pytest.mark.parametrize("name", ["", " ", "@", "ada@", "@example.org", "x" * 255])
def test_what_is_no_name_is_refused_in_words(name):
    for strict in (False, True):
        with pytest.raises(UsageError, match="is no name of a user: give a name such as ada"):
            email_of(name, strict=strict)


@pytest.mark.parametrize("name", ["Ada Lovelace", "a\tb", "50%", "\x1b[2J"])
def test_somebody_who_types_an_odd_name_is_told(name):
    with pytest.raises(UsageError, match="leave out spaces and %"):
        find_identity(name, environ={})
    with pytest.raises(UsageError, match="leave out spaces and %"):
        find_identity(environ={"COMFYNB_USER": name})


@given(st.text(max_size=30).map(str.strip), st.text(max_size=30).map(str.strip))
def test_two_names_never_share_an_address(one, other):
    emails = []
    for name in (one, other):
        try:
            emails.append(email_of(name))
        except UsageError:
            return
        User(email=emails[-1])
    local = {name.rpartition("@")[0] or f"{name}@localhost" for name in (one, other)}
    if len(local) == 2 and "@localhost" not in one + other:
        assert emails[0] != emails[1]
