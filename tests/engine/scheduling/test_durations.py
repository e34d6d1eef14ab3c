"""Durations: measured there, else elsewhere and scaled, else guessed from the structure."""

import pytest

from comfynb.engine.scheduling.durations import Durations, Kind
from comfynb.engine.scheduling.history import compare
from comfynb.engine.scheduling.shapes import Reader

PROMPT = {
    "1": {"class_type": "A", "inputs": {"name": "a.safetensors"}},
    "2": {"class_type": "B", "inputs": {"model": ["1", 0], "seed": 1}},
    "3": {"class_type": "C", "inputs": {"image": ["2", 0]}},
}
KINDS = {"A": Kind(["MODEL", "CLIP"]), "B": Kind(["LATENT"]), "C": Kind(["IMAGE"])}
NOTHING = frozenset()


class Task:
    version = "v"

    def __init__(self, prompt=PROMPT):
        self.prompt = prompt
        self.files = {}


def reading(prompt=PROMPT, reader=None):
    return (reader or Reader()).read(Task(prompt))


def test_guesses_put_loading_before_using_before_the_rest():
    read = reading()
    loads, uses, rest = Durations(KINDS.get).usual(read.shape)
    assert loads > uses > rest > 0


def test_what_is_warm_costs_nothing():
    read = reading()
    durations = Durations(KINDS.get)
    cold = durations.estimate("gpu", read, NOTHING)
    warm = durations.estimate("gpu", read, frozenset(read.sigs[:1]))
    assert cold - warm == pytest.approx(durations.usual(read.shape)[0])
    assert durations.estimate("gpu", read, frozenset(read.sigs)) == 0.0


def test_a_backend_that_was_never_measured_is_scaled_by_its_slowness():
    read = reading()
    durations = Durations()
    durations.know({"fast": 0.5, "slow": 2.0})
    for _ in range(5):
        durations.observe("fast", read, NOTHING, 3.0, {"1": 2.0, "2": 1.0, "3": 0.0})
    assert durations.estimate("fast", read, NOTHING) == pytest.approx(3.0)
    assert 8.0 <= durations.estimate("slow", read, NOTHING) <= 16.0


def test_without_spans_the_whole_is_shared_out_among_what_ran():
    read = reading()
    durations = Durations(KINDS.get)
    for _ in range(4):
        durations.observe("gpu", read, NOTHING, 6.0)
        durations.observe("gpu", read, frozenset(read.sigs[:1]), 1.0)
    assert durations.estimate("gpu", read, frozenset(read.sigs[:1])) == pytest.approx(1.0, rel=0.3)
    assert durations.estimate("gpu", read, NOTHING) == pytest.approx(6.0, rel=0.3)


def test_one_hiccup_is_no_new_speed():
    read = reading()
    durations = Durations()
    for _ in range(10):
        durations.observe("gpu", read, NOTHING, 1.0, {"1": 0.0, "2": 1.0, "3": 0.0})
    durations.observe("gpu", read, NOTHING, 500.0, {"1": 0.0, "2": 500.0, "3": 0.0})
    assert durations.estimate("gpu", read, NOTHING) < 2.0


def test_a_large_model_takes_as_long_as_it_took_and_a_small_one_as_it_did():
    reader = Reader()
    small = reading(reader=reader)
    other = {**PROMPT, "1": {"class_type": "A", "inputs": {"name": "large.safetensors"}}}
    large = reading(other, reader)
    durations = Durations()
    for _ in range(3):
        durations.observe("gpu", small, NOTHING, 2.0, {"1": 1.0, "2": 1.0})
        durations.observe("gpu", large, NOTHING, 11.0, {"1": 10.0, "2": 1.0})
    assert durations.estimate("gpu", large, NOTHING) == pytest.approx(11.0, rel=0.2)
    assert durations.estimate("gpu", small, NOTHING) == pytest.approx(2.0, rel=0.2)


def test_backends_are_compared_by_what_both_ran():
    runs = [("n", "a", 1.0), ("n", "b", 3.0), ("n", "b", 3.0), ("other", "c", 900.0)]
    assert compare(runs) == {"a": pytest.approx(0.5), "b": pytest.approx(1.5)}
