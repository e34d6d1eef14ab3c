"""Where a deployment may put a model: a folder of models below ComfyUI's, and a plain file name."""

import re
import unicodedata

from comfynb.deploy.catalogue.folders import folder_of as folder_of_type
from comfynb.deploy.resolve.folders import MODEL_SUFFIXES
from comfynb.errors import InvalidValue
from comfynb.models import Model

__all__ = ["check_file", "check_folder", "folder_of"]

_SEGMENT = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._ +()-]*")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST = 255


def folder_of(model: Model) -> str:
    """Return the folder that a model goes to: what its source says, else that of its type.

    Raises:
        InvalidValue: neither says where.
    """
    directory = model.metadata.get("directory")
    if isinstance(directory, str) and directory:
        return check_folder(f"models/{directory.removeprefix('models/')}")
    folder = folder_of_type(model.type)
    if folder is None:
        raise InvalidValue(
            f"{model.name:.80} is of type {model.type.value}, which has no folder of its own: "
            "give a targetPath, such as models/checkpoints."
        )
    return f"models/{folder}"


def check_folder(path: str) -> str:
    """Return a target folder, or refuse it.

    Raises:
        InvalidValue: it is not below ``models``, or a file system might take it for another one.
    """
    segments = path.split("/")
    plain = all(_plain(segment) for segment in segments)
    if not plain or segments[0] != "models" or len(segments) < 2:
        raise InvalidValue(
            f"{path!r:.80} is no folder for models: give one below models/, such as "
            "models/loras/style, of letters, digits, spaces and . _ - + ( )."
        )
    return path


def check_file(name: str) -> str:
    """Return the file name of a model, or refuse it.

    Raises:
        InvalidValue: it is no plain name, or does not end as models do.
    """
    suffix = f".{name.rpartition('.')[2].lower()}"
    if not _plain(name) or suffix not in MODEL_SUFFIXES:
        known = ", ".join(sorted(MODEL_SUFFIXES))
        raise InvalidValue(f"{name!r:.80} is no name of a model's file: end it in one of {known}.")
    return name


def _plain(segment: str) -> bool:
    return (
        _SEGMENT.fullmatch(segment) is not None
        and segment.strip(".") != ""
        and not segment.endswith((".", " "))
        and len(segment) <= _LONGEST
        and unicodedata.is_normalized("NFC", segment)
        and not _DEVICES.fullmatch(segment)
    )
