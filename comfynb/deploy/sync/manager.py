"""ComfyUI-Manager's lists as a source: packs, their classes, figures, tags, and models."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from comfynb.deploy.catalogue.entries import MANAGER, ModelEntry, Outcome
from comfynb.deploy.catalogue.models import write_models
from comfynb.deploy.catalogue.nodes import retire_nodes, write_nodes
from comfynb.deploy.sync.batch import Batch, Cursor, SyncSource, Write
from comfynb.deploy.sync.manager_models import MODELS, models_of
from comfynb.deploy.sync.manager_nodes import ALTER, LIST, MAP, STATS, Pack, packs_of
from comfynb.deploy.sync.polite import Asker
from comfynb.errors import FetchError, UsageError
from comfynb.models import SyncType
from comfynb.store import Transaction

__all__ = ["ManagerLists"]

BASE = "https://raw.githubusercontent.com/ltdrdata/ComfyUI-Manager/main"

CHANNELS = {
    "default": "",
    "recent": "node_db/new",
    "legacy": "node_db/legacy",
    "forked": "node_db/forked",
    "dev": "node_db/dev",
    "tutorial": "node_db/tutorial",
}

# File, and the key under which its entries are; None: the file itself is an object of them.
_FILES = {LIST: "custom_nodes", MAP: None, STATS: None, ALTER: "items", MODELS: "models"}
_BATCH = 500


class ManagerLists(SyncSource):
    """The lists of one channel, below a URL or in a folder."""

    name = MANAGER
    type = SyncType.COMFYUI_NODES

    def __init__(self, place: str | Path = BASE, *, channel: str = "default") -> None:
        if channel not in CHANNELS:
            raise UsageError(f"there is no channel {channel!r:.40}: {', '.join(CHANNELS)}")
        self.place = str(place).rstrip("/")
        self.channel = channel

    def settings(self) -> dict[str, Any]:
        """Its place and channel."""
        return {"place": self.place, "channel": self.channel}

    @property
    def _listed_as(self) -> str:
        return MANAGER if self.channel == "default" else f"{MANAGER}/{self.channel}"

    async def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """Read all files first, so that each pack is written once, with all that is said of it."""
        files, digest, absent = await self._read(ask)
        packs, models, ended, total = await asyncio.to_thread(_parse, files)
        for pack in packs:
            pack.entry.channel = None if pack.entry.adds_only else self.channel
        again = cursor is not None and cursor.get("digest") != digest
        if cursor is None or again:
            ended += [
                (name, Outcome("refused", name, reason="the file is not there")) for name in absent
            ]
            yield Batch(
                {"digest": digest, "packs": 0, "models": 0},
                done=ended,
                total=total + len(absent),
                again=again,
            )
            cursor = {"digest": digest, "packs": 0, "models": 0}
        at, models_at = int(cursor["packs"]), int(cursor["models"])
        for start in range(at, len(packs), _BATCH):
            some = packs[start : start + _BATCH]
            place = {"digest": digest, "packs": start + len(some), "models": models_at}
            yield Batch(place, _pack_writer(some, self._listed_as))
        for start in range(models_at, len(models), _BATCH):
            chosen = models[start : start + _BATCH]
            place = {"digest": digest, "packs": len(packs), "models": start + len(chosen)}
            yield Batch(place, _model_writer(chosen, self._listed_as))
        if LIST in files:
            listed = {key for pack in packs if not pack.entry.adds_only for key in pack.entry.keys}
            place = {"digest": digest, "packs": len(packs), "models": len(models)}
            yield Batch(place, _retirer(listed, self._listed_as))

    async def _read(self, ask: Asker) -> tuple[dict[str, Any], str, list[str]]:
        files: dict[str, Any] = {}
        absent = []
        digest = hashlib.sha256()
        remote = "://" in self.place
        folder = "/".join(part for part in (self.place, CHANNELS[self.channel]) if part)
        for name, key in _FILES.items():
            try:
                if remote:
                    body = (await ask.get(f"{folder}/{name}")).body
                else:
                    body = await asyncio.to_thread((Path(folder) / name).read_bytes)
            except FileNotFoundError:
                absent.append(name)
                continue
            except FetchError as error:
                if error.status != 404:
                    raise
                absent.append(name)
                continue
            except OSError as error:
                raise FetchError(
                    f"{folder}/{name} cannot be read ({error.strerror}): give a folder with "
                    "ComfyUI-Manager's lists",
                    url=folder,
                ) from error
            digest.update(body)
            files[name] = await asyncio.to_thread(_load, f"{folder}/{name}", body, key)
        if LIST not in files and MODELS not in files:
            raise FetchError(
                f"{folder} has neither {LIST} nor {MODELS}: give the address or the folder of "
                "ComfyUI-Manager's lists",
                url=folder,
            )
        return files, digest.hexdigest(), absent


def _load(name: str, body: bytes, key: str | None) -> Any:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise FetchError(f"{name} is not JSON: is that the right place?", url=name) from None
    if not isinstance(data, dict) or (key is not None and not isinstance(data.get(key), list)):
        wanted = f'an object with a list "{key}"' if key else "an object"
        raise FetchError(f"{name} is not ComfyUI-Manager's: it should be {wanted}", url=name)
    return data


def _parse(
    files: dict[str, Any],
) -> tuple[list[Pack], list[ModelEntry], list[tuple[str, Outcome]], int]:
    packs, ended, total = packs_of(files)
    models: list[ModelEntry] = []
    if MODELS in files:
        models, more, number = models_of(files[MODELS])
        ended += more
        total += number
    return packs, models, ended, total


def _pack_writer(packs: Sequence[Pack], source: str) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        written = write_nodes(tx, [pack.entry for pack in packs], source, now)
        outcomes = []
        for pack, outcome in zip(packs, written, strict=True):
            outcomes.append((pack.part, outcome))
            refused = outcome.kind == "refused"
            why = outcome.reason if pack.entry.adds_only else f"its pack: {outcome.reason}"
            for part, label in pack.attached:
                reason = why if refused else None
                attached = Outcome("refused" if refused else "merged", label, outcome.into, reason)
                outcomes.append((part, attached))
        return outcomes

    return write


def _model_writer(models: Sequence[ModelEntry], source: str) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        return [(MODELS, outcome) for outcome in write_models(tx, models, source, now)]

    return write


def _retirer(listed: set[str], source: str) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        names, problem = retire_nodes(tx, listed, source, now)
        notes = [Outcome("note", name, reason="the list has it no more") for name in names]
        if problem is not None:
            notes.append(Outcome("note", LIST, reason=problem))
        return [(LIST, note) for note in notes]

    return write
