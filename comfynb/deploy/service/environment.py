"""Environment variables of a deployment: stored and written into scripts as they are, so no secrets
and nothing that makes a machine run something else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.errors import InvalidValue

__all__ = ["check_environment", "check_no_secrets", "looks_secret"]

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
_RISKY = frozenset(
    {
        *("PATH", "BASH_ENV", "ENV", "IFS", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONINSPECT"),
        *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GIT_ASKPASS", "GIT_PROXY_COMMAND"),
        *("GIT_TEMPLATE_DIR", "CURL_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"),
        *("REQUESTS_CA_BUNDLE", "HOME", "SHELL", "PERL5OPT", "PERL5LIB", "NODE_OPTIONS"),
    }
)
_RISKY_PREFIXES = ("LD_", "DYLD_", "BASH_FUNC_", "GIT_CONFIG")


def looks_secret(name: str, value: str = "") -> bool:
    """Whether a variable or setting seems to be a password, a key or a token, by name or value."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper().replace("-", "_").split("_")
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    by_name = last in _SECRET_LAST or (last in {"KEY", "KEYS"} and before in _SECRET_PAIRS)
    return by_name or _SECRET_VALUE.search(value) is not None


def check_environment(variables: Mapping[str, str], *, risky: bool = False) -> None:
    """Refuse what looks like a secret, and, unless ``risky``, what changes which programs run.

    Raises:
        InvalidValue: names the variable, never its value.
    """
    for name, value in variables.items():
        if looks_secret(name, value):
            raise InvalidValue(
                f"{name!r:.80} looks like a secret, and variables are stored and written into "
                "scripts as they are: wb.tokens.add() keeps tokens, and scripts take HF_TOKEN and "
                "CIVITAI_TOKEN from the machine's own environment."
            )
        if not risky and (name in _RISKY or name.startswith(_RISKY_PREFIXES)):
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
