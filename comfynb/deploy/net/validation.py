"""The catalogue's URLs as a sync: each is looked at, unless that was done a short while ago."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from comfynb.deploy.catalogue.entries import Outcome
from comfynb.deploy.net.checking import SPACING_S, UrlChecker
from comfynb.deploy.net.policy import shown
from comfynb.deploy.net.verdicts import PASSING, CheckTarget, UrlClass, Verdict, class_of
from comfynb.deploy.sync.batch import Batch, Cursor, SyncSource, Write
from comfynb.deploy.sync.polite import Asker
from comfynb.models import SyncType, UrlValidation, utcnow
from comfynb.store import Store, Transaction, View

__all__ = ["UrlChecks", "write_verdicts"]

_BATCH = 25
_FRESH = timedelta(days=1)
# What was wrong with the way there may be right again soon.
_FRESH_PASSING = timedelta(hours=1)


class UrlChecks(SyncSource):
    """The download URLs of models and their versions, and the repositories of node packs.

    A URL that was looked at within ``fresh_for`` is not asked again. Each batch goes into the
    store as it comes, so a sync that is resumed asks only for what is missing.
    """

    name = "url-validation"
    type = SyncType.URL_VALIDATION

    def __init__(
        self,
        store: Store,
        *,
        models: bool = True,
        nodes: bool = True,
        fresh_for: timedelta = _FRESH,
        spacing: Mapping[str, float] = SPACING_S,
        batch: int = _BATCH,
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        self._store = store
        self._models = models
        self._nodes = nodes
        self._fresh_for = fresh_for
        self._spacing = spacing
        self._batch = batch
        self._now = now

    def settings(self) -> dict[str, Any]:
        """Which URLs, and how long an answer counts."""
        return {
            "models": self._models,
            "nodes": self._nodes,
            "fresh_for_s": self._fresh_for.total_seconds(),
        }

    async def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """Look at what is not fresh; what a former run of this sync did is not done again."""
        now = self._now()
        since = now if cursor is None else datetime.fromisoformat(cursor["since"])
        place = {"since": since.isoformat()}
        targets, rows = await self._store.read(self._look_up, "the catalogue's URLs", timeout=120)
        stale = [one for one in targets if not self._is_fresh(rows.get(one.url), now, since)]
        if cursor is None:
            waiting = {one.url for one in stale}
            fresh = [one for one in targets if one.url not in waiting]
            done = [
                (class_of(rows[one.url]).value, Outcome("same", shown(one.url), rows[one.url].id))
                for one in fresh
            ]
            yield Batch(dict(place), done=done, total=len(targets))
        checker = UrlChecker(
            ask.fetcher,
            spacing=self._spacing,
            sleep=ask.sleep,
            clock=ask.clock,
            on_wait=ask.on_wait,
        )
        verdicts: list[Verdict] = []
        async with contextlib.aclosing(checker.check(stale)) as found:  # type: ignore[type-var]
            async for verdict in found:
                verdicts.append(verdict)
                if len(verdicts) >= self._batch:
                    yield Batch(dict(place), write_verdicts(verdicts))
                    verdicts = []
        if verdicts:
            yield Batch(dict(place), write_verdicts(verdicts))

    def _is_fresh(self, row: UrlValidation | None, now: datetime, since: datetime) -> bool:
        if row is None:
            return False
        if row.lastChecked >= since:
            return True
        passing = class_of(row) in PASSING
        return now - row.lastChecked < (
            min(_FRESH_PASSING, self._fresh_for) if passing else self._fresh_for
        )

    def _look_up(self, view: View) -> tuple[list[CheckTarget], dict[str, UrlValidation]]:
        found: dict[str, CheckTarget] = {}
        if self._models:
            # A version says more exactly which file lies there.
            for url, size, model_id in view.execute(
                "select download_url, file_size, model_id from model_versions where is_active "
                "union all select download_url, file_size, id from models where is_active"
            ):
                known = found.get(url)
                if known is None or (known.size is None and size is not None):
                    found[url] = CheckTarget(url, size=size, modelId=model_id)
        if self._nodes:
            for url, node_id in view.execute(
                "select github_url, id from custom_nodes where is_active"
            ):
                found.setdefault(url, CheckTarget(url, page=True, customNodeId=node_id))
        rows = {row.url: row for row in view.find(UrlValidation)}
        return sorted(found.values(), key=lambda one: one.url), rows


def write_verdicts(verdicts: Iterable[Verdict]) -> Write:
    """Return what writes verdicts as :class:`UrlValidation`, and dates what they are about.

    A URL whose service wanted to be asked later keeps the row that it had, or stays without one.
    """
    some = tuple(verdicts)

    def write(tx: Transaction, _: datetime) -> Sequence[tuple[str, Outcome]]:
        urls = [verdict.target.url for verdict in some]
        known = {row.url: row for row in tx.find(UrlValidation, where={"url": urls})}
        outcomes: list[tuple[str, Outcome]] = []
        rows: list[UrlValidation] = []
        for verdict in some:
            label, before = shown(verdict.target.url), known.get(verdict.target.url)
            if verdict.kind is UrlClass.RATE_LIMITED:
                into = before.id if before is not None else None
                outcome = Outcome("refused", label, into, verdict.message)
                outcomes.append((verdict.kind.value, outcome))
                continue
            row = _row(verdict, before)
            rows.append(row)
            kind: Literal["new", "changed", "same"] = "new" if before is None else "same"
            if before is not None and class_of(before) is not verdict.kind:
                kind = "changed"
            outcomes.append((verdict.kind.value, Outcome(kind, label, row.id, verdict.message)))
        tx.put(*rows)
        known_now = [one for one in some if one.kind not in PASSING]
        if known_now:
            at = max(one.at for one in known_now)
            _date(tx, at, [one.target.url for one in known_now])
        return outcomes

    return write


def _row(verdict: Verdict, before: UrlValidation | None) -> UrlValidation:
    values: dict[str, Any] = {
        "url": verdict.target.url,
        "lastChecked": verdict.at,
        "isValid": verdict.isValid,
        "statusCode": verdict.status,
        "errorMessage": verdict.message,
        "modelId": verdict.target.modelId,
        "customNodeId": verdict.target.customNodeId,
    }
    if before is not None:
        values["id"] = before.id
    return UrlValidation(**values)


def _date(tx: Transaction, at: datetime, urls: list[str]) -> None:
    tx.execute(
        "update models set last_validated = $1 where download_url = any($2::text[]) or id in "
        "(select model_id from model_versions where download_url = any($2::text[]) and is_active)",
        [at, urls],
    )
    tx.execute(
        "update custom_nodes set last_validated = $1 where github_url = any($2::text[])",
        [at, urls],
    )
