"""Finds who disagrees about Python packages, and with which lines: the least that cannot be met."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from comfynb.deploy.lock.report import Claim, ConflictFound
from comfynb.deploy.lock.requirements import Wanted
from comfynb.deploy.lock.uv import Unsolvable, Uv

__all__ = ["disagreements", "specifier_conflicts"]

_MOST = 8
"""Conflicts that are looked for; a deployment with more has to be thought about anyway."""

Line = tuple[int, str, str]
"""Whose (an index), 'line' or 'constraint', and the requirement."""
Check = Callable[[Sequence[Line]], Awaitable[Unsolvable | None]]


async def disagreements(wanted: Sequence[Wanted], uv: Uv, first: Unsolvable) -> list[ConflictFound]:
    """Name each conflict with the lines behind it, by leaving out what is not needed for it."""

    async def check(lines: Sequence[Line]) -> Unsolvable | None:
        answer = await uv.resolve(_only(wanted, lines), hashes=False)
        return answer if isinstance(answer, Unsolvable) else None

    lines: list[Line] = [
        (number, kind, line)
        for number, one in enumerate(wanted)
        for kind, some in (("line", one.lines), ("constraint", one.constraints))
        for line in some
    ]
    found: list[ConflictFound] = []
    failure: Unsolvable | None = first
    while failure is not None and len(found) < _MOST:
        least, failure = await _least(lines, failure, check)
        found.append(_conflict(wanted, least, failure.text))
        # The rest may have conflicts of its own: go on without what the last one wants.
        lines = [line for line in lines if line != least[-1]]
        failure = await check(lines)
    return found


async def _least(
    lines: Sequence[Line], failure: Unsolvable, check: Check
) -> tuple[list[Line], Unsolvable]:
    """The fewest lines that still cannot be met; each of them is needed for that."""
    kept = [line for line in lines if canonicalize_name(Requirement(line[2]).name) in failure.names]
    narrowed = await check(kept) if kept and len(kept) < len(lines) else None
    if narrowed is None:
        kept = list(lines)
    else:
        failure = narrowed
    # In halves first: a hundred lines that have nothing to do with it go in a few steps.
    size = max(1, len(kept) // 2)
    while True:
        place = 0
        while place < len(kept):
            fewer = kept[:place] + kept[place + size :]
            still = await check(fewer) if fewer else None
            if still is None:
                place += size
            else:
                kept, failure = fewer, still
        if size == 1:
            return kept, failure
        size //= 2


def _only(wanted: Sequence[Wanted], lines: Sequence[Line]) -> list[Wanted]:
    return [
        replace(
            one,
            lines=tuple(line for owner, kind, line in lines if (owner, kind) == (number, "line")),
            constraints=tuple(
                line for owner, kind, line in lines if (owner, kind) == (number, "constraint")
            ),
            urls={},
        )
        for number, one in enumerate(wanted)
    ]


def _conflict(wanted: Sequence[Wanted], lines: Sequence[Line], detail: str) -> ConflictFound:
    claims = tuple(Claim(wanted[owner].party, line) for owner, _, line in lines)
    names = list(dict.fromkeys(canonicalize_name(Requirement(line).name) for _, _, line in lines))
    alone = len({claim.party for claim in claims}) == 1
    subject = f"Python package{'s' if len(names) > 1 else ''} {', '.join(names)}"
    kind: Literal["python", "unavailable", "build"] = "python"
    if len(claims) == 1:
        # uv was told to build nothing.
        unbuilt = "no usable wheels" in detail or "building from source is disabled" in detail
        kind = "build" if unbuilt else "unavailable"
    elif alone:
        subject = f"{subject} within {claims[0].party}"
    return ConflictFound(kind, subject, claims, True, detail)


# Without uv ----------------------------------------------------------------------------------


def specifier_conflicts(wanted: Sequence[Wanted]) -> list[ConflictFound]:
    """Compare requirement lines of the same package by their specifiers alone.

    A weaker check than resolving: what packages want of one another is not seen, nor which
    releases there are. Two lines conflict where no release near their bounds fits both.
    """
    by_name: dict[str, list[tuple[str, Requirement]]] = {}
    for one in wanted:
        for line in (*one.lines, *one.constraints):
            requirement = Requirement(line)
            by_name.setdefault(canonicalize_name(requirement.name), []).append(
                (one.party, requirement)
            )
    found = []
    for name, entries in sorted(by_name.items()):
        for place, (party, requirement) in enumerate(entries):
            for other_party, other in entries[place + 1 :]:
                both = requirement.specifier & other.specifier
                if _is_empty(both):
                    claims = (Claim(party, str(requirement)), Claim(other_party, str(other)))
                    found.append(ConflictFound("python", f"Python package {name}", claims))
    return found


def _is_empty(specifiers: SpecifierSet) -> bool:
    bounds = set()
    for one in specifiers:
        try:
            bounds.add(Version(one.version.removesuffix(".*")))
        except InvalidVersion:
            return False
    return bool(bounds) and not any(
        specifiers.contains(version, prereleases=True)
        for bound in bounds
        for version in _around(bound)
    )


def _around(bound: Version) -> list[Version]:
    """Releases at a bound and right beside it, on all its levels."""
    release = [*bound.release, 0, 0][: max(3, len(bound.release) + 1)]
    found = [bound, Version("0"), Version("99999999")]
    for level in range(len(release)):
        for step in (-1, 1):
            near = [*release[:level], release[level] + step, *([0] * (len(release) - level - 1))]
            if near[level] >= 0:
                text = ".".join(map(str, near))
                found.append(Version(f"{bound.epoch}!{text}"))
                if step < 0:
                    high = [*near[: level + 1], *([999999] * (len(release) - level - 1))]
                    found.append(Version(f"{bound.epoch}!{'.'.join(map(str, high))}"))
    return found
