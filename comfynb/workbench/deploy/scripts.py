"""A script that was made of a lock: shown, copied, saved."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from comfynb.errors import UsageError
from comfynb.models import Lock
from comfynb.widgets import mimebundle
from comfynb.workbench.deploy.panels import script_panel

__all__ = ["Script"]


class Script:
    """The files of one target; ``script.text`` is the one that is run, ``save`` writes them all."""

    def __init__(
        self,
        rendered: Any,
        lock: Lock,
        *,
        preview: "Callable[[str], Script]",
        make: "Callable[[str], Script]",
    ) -> None:
        self._rendered = rendered
        self._preview = preview
        self._make = make
        self.lock = lock
        """What it installs."""

    @property
    def target(self) -> str:
        """What kind of machine it is for."""
        return str(self._rendered.target)

    @property
    def files(self) -> Mapping[str, str]:
        """The texts, by file name."""
        return dict(self._rendered.files)

    @property
    def main(self) -> str:
        """The name of the file to look at, or to run."""
        return str(self._rendered.main)

    @property
    def text(self) -> str:
        """The text of the main file."""
        return self.files[self.main]

    @property
    def tokens(self) -> tuple[str, ...]:
        """The environment variables with tokens that the machine has to have; no values."""
        return tuple(self._rendered.tokens)

    @property
    def notes(self) -> tuple[str, ...]:
        """What you should know, a sentence each."""
        return tuple(self._rendered.notes)

    def preview(self, target: str) -> "Script":
        """That of the same lock for another target, to look at; see ``Deployment.preview``."""
        return self._preview(target)

    def make(self, target: str) -> "Script":
        """That of the same lock for another target, which counts as made."""
        return self if target == self.target else self._make(target)

    def save(self, folder: str | Path) -> Path:
        """Write the files into a folder, made if it is not there; returns the main file's path.

        Raises:
            UsageError: the folder cannot be written.
        """
        place = Path(folder)
        try:
            place.mkdir(parents=True, exist_ok=True)
            for name, text in self.files.items():
                path = place / name
                path.write_text(text, encoding="utf-8", newline="\n")
                if name in self._rendered.executable:
                    path.chmod(path.stat().st_mode | 0o111)
        except OSError as error:
            raise UsageError(f"{place} cannot be written: {error.strerror}.") from None
        return place / self.main

    def __str__(self) -> str:
        return self.text

    def _line(self) -> str:
        wants = f", wants {', '.join(self.tokens)}" if self.tokens else ""
        return f"{self.target}: {', '.join(self.files)}{wants}"

    def __repr__(self) -> str:
        return "\n".join([f"<Script {self._line()}>", *self.notes])

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, Any]:
        panel = script_panel(self)
        return mimebundle(panel, repr(self), panel.static_html())
