"""Whether a pack's pattern for its node classes says anything: one that fits any name does not."""

from functools import lru_cache
from typing import Final

import duckdb

__all__ = ["fits_anything"]

_PROBES: Final = ("q", "Q7", "zz top", "Kxqwv", "vwq_xk (jh)", "9:;", "Ωß", "\N{SNOWMAN}", "a b c")
_LONGEST: Final = 300


@lru_cache(maxsize=1024)
def fits_anything(pattern: str) -> bool:
    """Whether a pattern fits names that nobody has; one that cannot be read counts as such.

    The catalogue has refused patterns that take in hundreds of the classes it knows, but it may
    know few. Patterns are strangers' text: RE2 matches them, in linear time.
    """
    if not pattern or len(pattern) > _LONGEST:
        return True
    with duckdb.connect(":memory:", config={"enable_external_access": False}) as connection:
        try:
            found = connection.execute(
                "select count(*) from (select unnest($1::text[]) as name) "
                "where regexp_matches(name, $2)",
                [list(_PROBES), pattern],
            ).fetchone()
        except duckdb.Error:
            return True
    return found is None or 2 * int(found[0]) >= len(_PROBES)
