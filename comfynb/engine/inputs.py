"""Files that jobs read: kept as they were when the job was made, and sent to each backend once."""

import hashlib
import io
import tempfile
from pathlib import Path
from typing import BinaryIO

from comfynb.comfy import safe_name
from comfynb.errors import InvalidValue

__all__ = ["InputFolder"]

CHUNK = 1 << 20


class InputFolder:
    """``<root>/<sha256>/<name>``: the same content is kept once, and a job can be run again later
    although its file was changed or deleted meanwhile."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"InputFolder({str(self.root)!r})"

    def keep(self, file: Path) -> Path:
        """Copy ``file`` here if its content is not here yet; returns the copy.

        Raises:
            InvalidValue: there is no such file, or it cannot be read.
        """
        try:
            source = file.open("rb")
        except OSError as error:
            raise InvalidValue(f"{file} cannot be read: {error.strerror}.") from None
        with source:
            return self._keep(source, file.name)

    def keep_bytes(self, name: str, content: bytes) -> Path:
        """Keep a file whose content is at hand; returns the copy."""
        return self._keep(io.BytesIO(content), name)

    def _keep(self, source: BinaryIO, name: str) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self.root, delete=False) as partial:
            try:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    partial.write(chunk)
                partial.close()
                return self._place(Path(partial.name), digest.hexdigest(), safe_name(name))
            finally:
                Path(partial.name).unlink(missing_ok=True)

    def _place(self, partial: Path, sha256: str, name: str) -> Path:
        folder = self.root / sha256
        kept = folder / name
        if kept.exists():
            return kept
        folder.mkdir(exist_ok=True)
        partial.chmod(0o644)
        partial.replace(kept)
        return kept
