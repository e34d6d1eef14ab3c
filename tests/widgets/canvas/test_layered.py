"""Graphs placed by themselves."""

import itertools

import hypothesis.strategies as st
from hypothesis import given

from comfynb.widgets.canvas.layered import Link, arrange

WIDTH = 200.0
NUMBERS = st.integers(0, 14)


def place(number: int, links: list[tuple[int, int]], height: float = 100.0, snap: float = 20.0):
    heights = {f"n{i}": height + 10 * (i % 3) for i in range(number)}
    wires = [Link(f"n{a}", f"n{b}", 40.0, 40.0) for a, b in links]
    return heights, arrange(heights, wires, width=WIDTH, snap=snap)


@given(st.integers(1, 15), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30))
def test_no_two_nodes_overlap_and_none_is_forgotten(
    number: int, links: list[tuple[int, int]]
) -> None:
    links = [(a % number, b % number) for a, b in links]  # circles and loops among them
    heights, placed = place(number, links)
    assert set(placed) == set(heights)
    for (one, (x, y)), (other, (u, v)) in itertools.combinations(placed.items(), 2):
        apart = abs(x - u) >= WIDTH or y + heights[one] <= v or v + heights[other] <= y
        assert apart, f"{one} at {x, y} and {other} at {u, v}"
    assert all(x % 20 == 0 and y % 20 == 0 for x, y in placed.values())
    assert placed == place(number, links)[1]  # the same every time


@given(st.integers(2, 15), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30))
def test_without_circles_everything_goes_to_the_right(
    number: int, links: list[tuple[int, int]]
) -> None:
    forward = [(min(a, b) % number, max(a, b) % number) for a, b in links]
    forward = [(a, b) for a, b in forward if a < b]
    _, placed = place(number, forward)
    for a, b in forward:
        assert placed[f"n{a}"][0] + WIDTH < placed[f"n{b}"][0]


def test_a_chain_is_a_straight_line_and_a_tree_has_no_crossing() -> None:
    _, chain = place(4, [(0, 1), (1, 2), (2, 3)], snap=1.0)
    assert len({y for _, y in chain.values()}) == 1
    # 0 feeds 1, 2, 3; 1 feeds 6, 2 feeds 5, 3 feeds 4: given crossed, drawn uncrossed.
    _, tree = place(7, [(0, 1), (0, 2), (0, 3), (1, 6), (2, 5), (3, 4)])
    upper = sorted((1, 2, 3), key=lambda i: tree[f"n{i}"][1])
    lower = [7 - i for i in upper]
    assert lower == sorted(lower, key=lambda i: tree[f"n{i}"][1])


def test_parts_without_connection_stand_beneath_one_another() -> None:
    heights, placed = place(5, [(0, 1), (2, 3)])
    first = max(placed[key][1] + heights[key] for key in ("n0", "n1"))
    assert min(placed["n2"][1], placed["n3"][1]) > first
    assert placed["n4"][1] > placed["n2"][1]


def test_a_source_stands_beside_what_it_feeds() -> None:
    _, placed = place(5, [(0, 1), (1, 2), (2, 3), (4, 3)])
    assert placed["n4"][0] == placed["n2"][0]


def test_a_thousand_nodes() -> None:
    links = [(i, i + 25) for i in range(975)] + [(i, i + 26) for i in range(0, 970, 2)]
    _, placed = place(1000, links)
    assert len(set(placed.values())) == 1000
