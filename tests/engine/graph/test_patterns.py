"""Naming patterns are checked before anything runs, and give names that are safe everywhere."""

import unicodedata
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.graph.patterns import (
    LONGEST,
    PLACEHOLDERS,
    check_pattern,
    fill_pattern,
    numbered,
)
from comfynb.errors import InvalidValue

AT = datetime(2026, 11, 21, 15, 4, 5, tzinfo=UTC)
VALUES = {
    "date": AT,
    "time": AT,
    "graph": "faces",
    "height": 480,
    "index": 7,
    "job": "5e0c11aa",
    "name": "Ada_00001_",
    "node": "results",
    "seed": 2**63,
    "width": 640,
    "workflow": "up/scale",
    "backend": "PC1",
}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{date}_{index}_{name}", "2026-11-21_7_Ada_00001_.png"),
        ("{time}-{job}", "15-04-05-5e0c11aa.png"),
        ("{date:%Y}/{date:%m}/{index:04}", "2026/11/0007.png"),
        ("{index:4d}x", "7x.png"),
        ("{node}/{graph}/{name:.3}", "results/faces/Ada.png"),
        ("{seed}_{width}x{height}", "9223372036854775808_640x480.png"),
        ("{workflow}@{backend}", "up_scale@PC1.png"),
        ("a {{b}} {index}", "a {b} 7.png"),
        ("{name}.png", "Ada_00001_.png"),
        ("{name}.jpg", "Ada_00001_.jpg.png"),
        ("plain", "plain.png"),
        ("{time:%H.%M}", "15.04.png"),
    ],
)
def test_a_pattern_gives_this_path(pattern, path):
    folders, name = fill_pattern(pattern, VALUES, ".png")
    assert "/".join([*folders, name]) == path


def test_what_is_not_known_is_written_as_none():
    assert fill_pattern("{seed}_{workflow}_{width:04}", {"index": 1}, "")[1] == "none_none_none"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{sead}", "unknown placeholder {sead}; there are {backend}, {date}"),
        ("{}", "unknown placeholder {}"),
        ("{0}", "unknown placeholder {0}"),
        ("{name.__class__}", "unknown placeholder {name.__class__}"),
        ("{name[0]}", "unknown placeholder {name[0]}"),
        ("{name!r}", "takes no !"),
        ("{index:999999999}", "{index:04}"),
        ("{index:{width}}", "{index:04}"),
        ("{index:x}", "{index:04}"),
        ("{name:>99}", "{name:.20}"),
        ("{date:%n}", "{date:%Y-%m-%d}"),
        ("{date:/%Y}", "{date:%Y-%m-%d}"),
        ("{index", "cannot be read"),
        ("index}", "cannot be read"),
        ("", "names no file"),
        ("   ", "names no file"),
        ("a/", "names no file"),
        ("/etc/{name}", "begins with /"),
        ("../{name}", "folder without name"),
        ("a/../{name}", "folder without name"),
        ("a//{name}", "folder without name"),
        ("./{name}", "folder without name"),
        ("..", "names no file"),
        ("a\\{name}", "has \\, which not every system"),
        ("C:{name}", "has :, which not every system"),
        ("{name}\0", "a control character"),
        ("{name}\n", "a control character"),
        ("a\u202e{name}", "a control character"),
        ("{name}*", "has *, which"),
        ("/".join("abcdefghij"), "more than 8 folders"),
        ("a" * 501, "at most 500 characters"),
        (None, "is text, not NoneType"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_in_a_sentence(pattern, said):
    with pytest.raises(InvalidValue) as error:
        check_pattern(pattern)
    assert said in str(error.value)


def test_every_placeholder_can_be_used_and_is_explained():
    for name, about in PLACEHOLDERS.items():
        check_pattern(f"{{{name}}}")
        assert about
    assert set(PLACEHOLDERS) == set(VALUES)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("CON", "_CON.png"),
        ("nul.txt", "_nul.txt.png"),
        ("../../etc/passwd", "_.._etc_passwd.png"),
        ("..", "file.png"),
        (".hidden", "hidden.png"),
        ("-rf", "_-rf.png"),
        ("a\0b\nc", "a_b_c.png"),
        ("a:b*c?", "a_b_c_.png"),
        ("C:\\x", "C__x.png"),
        ("e\u0301", "\xe9.png"),
        ("a. . ", "a.png"),
    ],
)
def test_hostile_values_become_plain_names(value, name):
    assert fill_pattern("{name}", {"name": value}, ".png") == ([], name)
    assert fill_pattern("{name}/x", {"name": value}, "")[0] == [name.removesuffix(".png")] or (
        value == ".."
    )


awkward = st.text(
    st.sampled_from([*"/\\.: ~-_aZ*?\"'<>|\0\n\t", *"\u202eé\u0301漢😀", "\ud800"]),
    max_size=300,
)


@given(
    st.sampled_from(["{name}", "{node}/{graph}/{name}_{index}", "{workflow}{backend}/{name:.9}"]),
    st.fixed_dictionaries(
        dict.fromkeys(["name", "node", "graph", "workflow", "backend", "seed"], awkward)
    ),
    st.sampled_from(["", ".png", ".jpeg"]),
    st.integers(1, 12345),
)
def test_whatever_the_values_are_the_names_are_safe(pattern, values, suffix, number):
    folders, name = fill_pattern(pattern, {**values, "index": 3}, suffix)
    assert name.endswith(suffix)
    for part in [*folders, name, numbered(name, number)]:
        assert part == PurePosixPath(part).name == PureWindowsPath(part).name
        assert part not in {"", ".", ".."}
        assert part[0] not in ".-~ "
        assert part[-1] not in ". "
        assert part == unicodedata.normalize("NFC", part)
        assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs"} for c in part)
        assert len(part.encode()) <= LONGEST
        assert not PureWindowsPath(part).is_reserved()


def test_numbers_go_before_the_suffix_and_fit():
    assert numbered("a.png", 1) == "a.png"
    assert numbered("a.png", 2) == "a (2).png"
    assert numbered("a", 3) == "a (3)"
    long = numbered("é" * 98 + ".png", 12)
    assert long.endswith("é (12).png")
    assert len(long.encode()) <= LONGEST
