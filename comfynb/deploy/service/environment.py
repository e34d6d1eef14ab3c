"""Environment variables of a deployment: stored and written into scripts as they are, so no secrets
and nothing that makes a machine run something else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.errors import InvalidValue
from comfynb.models._checks import runs_other_code

__all__ = ["check_environment", "check_no_secrets", "is_risky", "looks_secret"]

_SECRET_LAST = frozenset(
    {"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "APIKEY"}
)
_SECRET_PAIRS = frozenset({"API", "ACCESS", "PRIVATE", "SECRET", "ENCRYPTION", "SIGNING", "AUTH"})
# How well-known services begin their tokens.
_SECRET_VALUE = re.compile(
    r"(^|[^A-Za-z0-9])(hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}"
    r"|glpat-[\w-]{20,}|sk-[A-Za-z0-9_-]{20,}|rpa_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}"
    r"|xox[abps]-[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----)"
)
# Beside those that make programs run other code: whom programs trust, and whose settings they read.
_RISKY = frozenset(
    {
        *("CURL_CA_BUNDLE", "CURL_HOME", "HOME", "REQUESTS_CA_BUNDLE", "SHELL"),
        *("SSL_CERT_DIR", "SSL_CERT_FILE"),
    }
)
# What holds no secret although its name says so: the machine has it, or RunPod puts it in.
_ELSEWHERE = re.compile(r"\s*(?:\{\{ *RUNPOD_SECRET_\w+ *\}\})?\s*")


def is_risky(name: str) -> bool:
    """Whether a variable changes which programs a machine runs, or whom these trust."""
    return name in _RISKY or runs_other_code(name)


def looks_secret(name: str, value: str = "") -> bool:
    """Whether a variable or setting seems to be a password, a key or a token, by name or value."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper().replace("-", "_").split("_")
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    by_name = last in _SECRET_LAST or (last in {"KEY", "KEYS"} and before in _SECRET_PAIRS)
    return by_name or _SECRET_VALUE.search(value) is not None


def check_environment(variables: Mapping[str, str], *, risky: bool = False) -> None:
    """Refuse what looks like a secret, and, unless ``risky``, what changes which programs run.

    A variable with a secret's name may be there without a value, or with RunPod's reference to a
    secret: then scripts take it from the machine.

    Raises:
        InvalidValue: names the variable, never its value.
    """
    for name, value in variables.items():
        if looks_secret(name, value) and not _ELSEWHERE.fullmatch(value):
            raise InvalidValue(
                f"{name!r:.80} looks like a secret, and variables are stored and written into "
                "scripts as they are: wb.tokens.add() keeps tokens, and what has an empty value "
                "here is taken from the machine's own environment."
            )
        if not risky and is_risky(name):
            raise InvalidValue(
                f"{name!r:.80} changes which programs and libraries a machine runs: "
                "set it with risky=True if that is meant."
            )


def check_no_secrets(settings: Mapping[str, Any]) -> None:
    """Refuse settings that look like a secret, however deep.

    Raises:
        InvalidValue: names the setting, never its value.
    """
    for path, value in _leaves(settings):
        if looks_secret(path.rpartition(".")[2], value):
            raise InvalidValue(
                f"{path!r:.80} looks like a secret, and settings are stored and shared as they "
                "are: leave it out."
            )


def _leaves(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[str, Any]] = list(settings.items())
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{path}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(path, item) for item in value]
        elif value is not None:
            yield path, str(value)
