"""What is remembered of backends: refused in words, named apart, kept when added once more."""

import threading

import duckdb
import pytest

from comfynb import Workbench
from comfynb.errors import StoreTooNew, UsageError


def test_settings_that_are_not_allowed_are_refused_in_words(wb, sandbox):
    with pytest.raises(UsageError, match=r"max_concurrent_jobs.*greater than or equal to 1"):
        wb.backends.add("127.0.0.1:1", check=False, max_concurrent_jobs=0)
    with pytest.raises(UsageError, match="name"):
        wb.backends.add("127.0.0.1:1", check=False, name="\n")
    with pytest.raises(UsageError, match="max_concurrent_jobs"):
        wb.backends["one"].change(max_concurrent_jobs=0)
    assert [backend.name for backend in wb.backends] == ["one"]
    assert wb.backends["one"].config.max_concurrent_jobs == 1


def test_names_of_backends_differ(wb):
    wb.backends.add("127.0.0.1:1", name="two", check=False)
    with pytest.raises(UsageError, match=r"another backend called one at http://"):
        wb.backends["two"].change(name="one")
    wb.backends["two"].change(name="two", tags=["slow"])
    assert wb.backends["two"].config.tags == ["slow"]


def test_a_cell_that_adds_a_backend_again_keeps_what_it_does_not_say(wb, sandbox):
    wb.metrics.agent("one", "http://gpu1:9000")
    before = wb.backends["one"].config
    wb.backends.add(sandbox.url, tags=["fast"])
    (backend,) = wb.backends
    assert backend.name == "one"
    assert backend.config.agent_url == "http://gpu1:9000"
    assert (backend.id, backend.config.created_at) == (before.id, before.created_at)
    assert backend.config.tags == ["fast"]


def test_a_workbench_that_cannot_be_opened_leaves_nothing_behind(tmp_path):
    file = tmp_path / "newer.duckdb"
    first = Workbench(file)
    first.close()
    first.store.close().result(30)
    connection = duckdb.connect(str(file))
    connection.execute("insert into schema_version values (9999, 'later', 'x', now())")
    connection.close()
    before = set(threading.enumerate())
    with pytest.raises(StoreTooNew):
        Workbench(file)
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread
    # Nobody holds the file.
    duckdb.connect(str(file)).close()
