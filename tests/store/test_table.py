from datetime import UTC, datetime

import pytest

from comfynb.errors import UsageError
from comfynb.store import Store, Table
from comfynb.store.database import Result

HOSTILE = "<script>alert(1)</script>&\"'"


def table(rows: list[tuple[object, ...]], *, more: bool = False) -> Table:
    return Table(Result(("name", "n"), ("VARCHAR", "BIGINT"), rows, more))


def test_is_a_sequence_of_dicts() -> None:
    some = table([("a", 1), ("b", None)])
    assert list(some) == [{"name": "a", "n": 1}, {"name": "b", "n": None}]
    assert (len(some), some[1], some.column("n")) == (2, {"name": "b", "n": None}, [1, None])
    with pytest.raises(UsageError, match="no column"):
        some.column("x")


def test_prints_as_text() -> None:
    assert repr(table([("a", 1), ("long one", 12345)])) == (
        "name          n\n--------  -----\na             1\nlong one  12345"
    )
    assert repr(table([])).endswith("(no rows)")
    assert repr(table([("a", i) for i in range(25)])).endswith("(5 more rows)")
    assert "past the limit" in repr(table([("a", 1)], more=True))
    moved = repr(table([("\x1b[31mred\r\n\x00", 1)]))
    assert "\x1b" not in moved
    assert "\r" not in moved
    assert moved.count("\n") == 2
    assert len(repr(table([("x" * 1000, 1)])).splitlines()[2]) < 100


def test_html_is_escaped_short_and_fits_every_theme() -> None:
    some = Table(Result((HOSTILE, "n"), ("VARCHAR", "BIGINT"), [(HOSTILE, 1)] * 30))
    text = some._repr_html_()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<tr>") == 21
    assert "10 more rows" in text
    assert "var(--jp-" in text
    assert "no rows" in table([])._repr_html_()


def test_becomes_a_data_frame_and_an_arrow_table(file_store: Store) -> None:
    pd, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    at = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    some = file_store.sql(
        "select 'x' as a, 1::bigint as b, 1.5::double as c, true as d, $1::timestamptz as e, "
        "'{}'::json as f, null::bigint as a, [1, 2] as g",
        [at],
    ).result(30)
    frame = some.to_df()
    assert list(frame.columns) == ["a", "b", "c", "d", "e", "f", "a_2", "g"]
    assert frame["e"][0] == pd.Timestamp(at)
    arrow = some.to_arrow()
    assert arrow.num_rows == 1
    assert arrow.schema.field("e").type == pa.timestamp("us", tz="UTC")
    assert arrow.schema.field("b").type == arrow.schema.field("a_2").type == pa.int64()
    assert arrow.to_pylist()[0]["g"] == [1, 2]
    empty = file_store.sql("select id, created_at from jobs").result(30)
    assert empty.to_df().shape == (0, 2)
    assert empty.to_arrow().schema.field("created_at").type == pa.timestamp("us", tz="UTC")


def test_without_pandas_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(UsageError, match=r"comfynb\[pandas\]"):
        table([]).to_df()


def test_to_polars(store: Store) -> None:
    frame = store.sql("select 1 as n, 'a' as t, null as nothing").result(30).to_polars()
    assert frame.to_dicts() == [{"n": 1, "t": "a", "nothing": None}]
