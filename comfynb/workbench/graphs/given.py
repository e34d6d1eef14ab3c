"""What a person says of a node in code, as its config holds it: files, values, patterns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comfynb.engine.graph.delivery import check_pattern
from comfynb.engine.graph.expressions import compile_expression
from comfynb.engine.outputs import media_type_of
from comfynb.errors import InvalidValue
from comfynb.models import DataType

__all__ = ["input_config", "plain_config"]


def input_config(
    files: str | Path | Sequence[str | Path] | None,
    value: Any,
    values: Sequence[Any] | None,
    data_type: str | DataType | None,
) -> dict[str, Any]:
    """The config of an INPUT; what comes out of it is seen from the files where it is not said.

    Raises:
        InvalidValue: a file is not there.
        ValueError: no such type.
    """
    config: dict[str, Any] = {}
    paths = _paths(files)
    if paths:
        config["files"] = [str(path) for path in paths]
    if value is not None:
        config["value"] = value
    if values is not None:
        config["values"] = list(values)
    kind = DataType(data_type) if data_type is not None else _type_of(paths)
    if kind is not DataType.ANY:
        config["data_type"] = kind.value
    return config


def plain_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """Config as JSON holds it; an expression and a pattern are checked when they are set.

    Raises:
        ExpressionError, InvalidValue: what is wrong with them, or a file that is not there.
    """
    config = {key: str(v) if isinstance(v, Path) else v for key, v in values.items()}
    if config.get("files") is not None:
        config["files"] = [str(path) for path in _paths(values["files"])]
    if config.get("expression") is not None:
        compile_expression(config["expression"])
    if config.get("naming_pattern") is not None:
        check_pattern(config["naming_pattern"])
    return config


def _paths(files: str | Path | Sequence[str | Path] | None) -> list[Path]:
    if files is None:
        return []
    given = [files] if isinstance(files, str | Path) else list(files)
    paths = [Path(each).expanduser() for each in given]
    for path in paths:
        if not path.is_file():
            raise InvalidValue(f"{path} is no file on this machine.")
    return [path.absolute() for path in paths]


def _type_of(paths: Sequence[Path]) -> DataType:
    kinds = {media_type_of(path.name).partition("/")[0] for path in paths}
    if kinds == {"image"}:
        return DataType.IMAGE
    if kinds == {"video"}:
        return DataType.VIDEO
    latent = paths and all(path.suffix == ".latent" for path in paths)
    return DataType.LATENT if latent else DataType.ANY
