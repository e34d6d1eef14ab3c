import os
from pathlib import Path

import pytest

from comfynb.store.owners import Liveness


def test_a_killed_owner_is_dead_at_once_and_its_file_goes(tmp_path: Path, child) -> None:
    database = tmp_path / "lab.duckdb"
    me = Liveness(database, "me")
    assert me.live() == set()
    me.enter()
    other, gone = child("alive.py", database, "other"), child("alive.py", database, "gone")
    assert other.read() == gone.read() == "entered"
    assert me.live() == {"me", "other", "gone"}
    assert me.is_alive("gone")
    gone.kill()
    assert not me.is_alive("gone")
    assert me.live() == {"me", "other"}
    assert sorted(entry.name for entry in me.folder.iterdir()) == ["me.alive", "other.alive"]
    assert other.end() == 0
    assert me.live() == {"me"}
    me.leave()
    me.leave()
    assert not me.is_alive("me")
    assert list(me.folder.iterdir()) == []


def test_a_process_id_that_is_used_again_says_nothing(tmp_path: Path) -> None:
    """A file without a lock is dead whoever's name it bears, that of a living process too."""
    me = Liveness(tmp_path / "lab.duckdb", "me")
    me.enter()
    (me.folder / f"{os.getpid()}.alive").write_text(str(os.getpid()))
    assert me.live() == {"me"}
    me.leave()


@pytest.mark.parametrize("hostile", ["", ".", "..", "../me", "/etc/passwd", "a/b", ".new-x", "*"])
def test_ids_are_names_of_nothing_else(tmp_path: Path, hostile: str) -> None:
    me = Liveness(tmp_path / "lab.duckdb", "me")
    me.enter()
    outside = tmp_path / "me.alive"
    outside.write_text("not ours")
    assert not me.is_alive(hostile)
    assert outside.read_text() == "not ours"
    assert me.live() == {"me"}
    me.leave()


def test_a_removed_file_is_made_again(tmp_path: Path) -> None:
    me, other = (Liveness(tmp_path / "lab.duckdb", name) for name in ("me", "other"))
    me.enter()
    other.enter()
    (me.folder / "me.alive").unlink()
    assert other.live() == {"other"}
    me.ensure()
    me.ensure()
    assert other.live() == {"me", "other"}
    me.leave()
    other.leave()


def test_what_is_being_made_is_left_alone_and_old_leftovers_go(tmp_path: Path) -> None:
    me = Liveness(tmp_path / "lab.duckdb", "me")
    me.enter()
    fresh, old = me.folder / ".new-fresh", me.folder / ".new-old"
    for path in (fresh, old):
        path.touch()
    os.utime(old, (0, 0))
    assert me.live() == {"me"}
    assert fresh.exists()
    assert not old.exists()
    me.leave()
