"""Reads how full the disks of the model and output folders are."""

import shutil
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["MOST_FOLDERS", "DiskReader"]

MOST_FOLDERS = 32

Folders = Iterable[tuple[str, str]]


class DiskReader:
    """Owned by one thread; ``folders`` returns (role, path) pairs and is asked every time."""

    def __init__(self, folders: Callable[[], Folders]) -> None:
        self._folders = folders
        self.at: str | None = None
        """The folder that is being looked at, for when that takes for ever."""

    def read(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the disks and what could not be read."""
        disks: list[dict[str, Any]] = []
        missing: list[str] = []
        folders = list(dict.fromkeys(self._folders()))
        for role, path in folders[:MOST_FOLDERS]:
            # A path may hold bytes that are no UTF-8, which neither JSON nor OpenMetrics can.
            shown = path.encode("utf-8", "replace").decode()
            disk: dict[str, Any] = {"role": role, "path": shown}
            self.at = shown
            try:
                usage = shutil.disk_usage(path)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                missing.append(f"The disk of the {role} folder {shown} cannot be read: {why}.")
                disk |= {"total_bytes": None, "used_bytes": None, "free_bytes": None}
            else:
                disk |= {
                    "total_bytes": usage.total,
                    "used_bytes": usage.used,
                    "free_bytes": usage.free,
                }
            disks.append(disk)
        self.at = None
        if len(folders) > MOST_FOLDERS:
            left_out = len(folders) - MOST_FOLDERS
            missing.append(f"{left_out} more folders are not told: the limit is {MOST_FOLDERS}.")
        return disks, missing
