"""Runs by themselves, which go before all sweeps: lines, and who is served next by whom."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from comfynb.engine.scheduling.entries import Entry
from comfynb.engine.scheduling.ledger import Ledger
from comfynb.engine.scheduling.seats import Seat

__all__ = ["Runs"]


class Runs:
    """A line for each kind of requirements; whoever came first, of all that a backend may do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lines: dict[int, deque[Entry]] = {}

    def __repr__(self) -> str:
        return f"Runs({len(self)} wait)"

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Entry]:
        for line in self._lines.values():
            yield from line

    @property
    def kinds(self) -> Iterable[int]:
        """The kinds of those that wait."""
        return self._lines.keys()

    def add(self, entry: Entry, *, first: bool) -> None:
        """One more waits, at the end or the beginning of its line."""
        line = self._lines.setdefault(entry.kind, deque())
        if first:
            line.appendleft(entry)
        else:
            line.append(entry)

    def remove(self, entry: Entry) -> None:
        """It waits no more, if it did."""
        line = self._lines.get(entry.kind)
        if line is not None and entry in line:
            line.remove(entry)
            if not line:
                del self._lines[entry.kind]

    def next(self, open_seats: Mapping[str, Seat], now: float) -> tuple[Entry, Seat] | None:
        """The run that came first among those that a backend may do, and who ends it first.

        It is taken out of its line.
        """
        best: tuple[Entry, list[Seat]] | None = None
        for kind, line in self._lines.items():
            entry = line[0]
            late = best is not None and best[0].arrival < entry.arrival
            if entry.task.not_before > now or late:
                continue
            able = [seat for seat in open_seats.values() if self._ledger.may(seat, kind)]
            if able:
                best = entry, able
        if best is None:
            return None
        entry, able = best

        def finish(seat: Seat) -> tuple[float, float]:
            book = self._ledger.books[seat.id]
            seconds = self._ledger.durations.estimate(seat.id, entry.reading, book.warm)
            return round(book.backlog(now, seat.foreign) + seconds, 6), seat.load

        self.remove(entry)
        return entry, min(able, key=finish)

    def in_the_way(self, now: float, ahead: float) -> list[Entry]:
        """Points in the queue of the backend that a run will have, when all are full.

        Only where there are more than ``ahead`` seconds of them.
        """
        books, seats = self._ledger.books, self._ledger.seats
        for kind, line in self._lines.items():
            if line[0].task.not_before > now:
                continue
            able = [
                books[seat.id]
                for seat in seats.values()
                if self._ledger.may(seat, kind) and books[seat.id].given
            ]
            if not able or any(seats[book.id].free > 0 for book in able):
                continue
            points = min(able, key=lambda book: book.head(now)).points_behind()
            if sum(entry.estimate for entry in points) > ahead:
                return points
        return []
