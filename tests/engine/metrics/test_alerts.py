"""Alerts open when a value stays too high, and do not flicker."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.metrics.alerts import Alarm, Alarms
from comfynb.engine.metrics.settings import MetricsSettings
from comfynb.store.metrics import Reading

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = MetricsSettings(temperature=80, temperature_margin=5, hold_seconds=10)


def at(second):
    return START + timedelta(seconds=second)


def reading(second, **values):
    return Reading("b1", at(second), None, **values)


def told(alarms, second, **values):
    turns = alarms.answered([reading(second, **values)], at(second), SETTINGS)
    return [(turn.alarm.kind, turn.closed_at) for turn in turns]


def test_heat_must_last_and_then_pass():
    alarms = Alarms()
    assert told(alarms, 0, gpu_temperature=85) == []
    assert told(alarms, 5, gpu_temperature=79) == []  # begins anew
    assert told(alarms, 6, gpu_temperature=90) == []
    assert told(alarms, 16, gpu_temperature=81) == [("temperature", None)]
    assert alarms.messages == ("temperature 90 °C (from 80)",)
    assert told(alarms, 17, gpu_temperature=78) == []  # within the margin
    assert told(alarms, 18) == []  # unknown is neither good nor bad
    assert told(alarms, 19, gpu_temperature=74) == [("temperature", at(19))]
    assert alarms.messages == ()
    assert told(alarms, 20, gpu_temperature=74) == []


def test_memory_and_disk_are_shares():
    alarms = Alarms()
    full = {
        "gpu_memory_used": 980, "gpu_memory_total": 1000, "disk_free": 4, "disk_total": 100
    }  # fmt: skip
    assert told(alarms, 0, **full) == []
    assert told(alarms, 10, **full) == [("memory", None), ("disk", None)]
    empty = {"gpu_memory_used": 0, "gpu_memory_total": 0, "disk_free": 50, "disk_total": 100}
    assert told(alarms, 11, **empty) == [("disk", at(11))]


def test_each_gpu_has_its_own():
    alarms = Alarms()
    hot = [reading(0, gpu=n, main=n == 0, gpu_temperature=90 * (n == 1)) for n in (0, 1)]
    assert alarms.answered(hot, at(0), SETTINGS) == []
    [turn] = alarms.answered(hot, at(10), SETTINGS)
    assert turn.alarm.gpu == 1
    assert alarms.messages == ("GPU 1: temperature 90 °C (from 80)",)


def test_gone_and_back():
    alarms = Alarms()
    assert alarms.silent(at(0), at(29), SETTINGS) == []
    [turn] = alarms.silent(at(0), at(30), SETTINGS)
    assert turn.alarm.kind == "gone"
    assert alarms.silent(at(0), at(90), SETTINGS) == []
    [over] = alarms.answered([reading(95)], at(95), SETTINGS)
    assert (over.alert_id, over.closed_at, over.alarm.worst) == (turn.alert_id, at(95), 90)


def test_one_that_an_earlier_kernel_opened_is_closed():
    known = Alarm("temperature", 0, at(0), "a1", at(0), 90.0, 80.0)
    alarms = Alarms([known])
    assert told(alarms, 5, gpu_temperature=85) == []
    assert told(alarms, 6, gpu_temperature=60) == [("temperature", at(6))]


@given(st.lists(st.one_of(st.none(), st.integers(60, 100)), max_size=60))
def test_what_opens_closes_once_and_only_cool(values):
    alarms = Alarms()
    open_since = None
    for second, value in enumerate(values):
        for kind, closed in told(alarms, second, gpu_temperature=value):
            assert kind == "temperature"
            if closed is None:
                assert open_since is None
                recent = [v for v in values[max(0, second - 10) : second + 1] if v is not None]
                assert all(v >= 80 for v in recent)
                open_since = second
            else:
                assert open_since is not None
                assert value < 75
                open_since = None
    assert (open_since is not None) == bool(alarms.messages)
