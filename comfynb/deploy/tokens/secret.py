"""Text that is not shown: not printed, dumped, pickled or copied by accident."""

from typing import Any, NoReturn, Self

from pydantic import SecretStr

__all__ = ["Secret", "last_four"]

# A shorter one would be half told by its last four characters.
_SHORTEST_TOLD = 12


class Secret(SecretStr):
    """pydantic's SecretStr, which cannot be pickled either: a pickle would hold the text."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not pickled: take it from where it is kept")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def last_four(token: str) -> str:
    """Return what may be shown of a token, so that people know which one it is."""
    return token[-4:] if len(token) >= _SHORTEST_TOLD else ""
