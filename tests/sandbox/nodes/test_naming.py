"""Names of saved pictures."""

import datetime as dt
from pathlib import Path

import pytest

from comfynb.sandbox.node import OutsideFolderError
from comfynb.sandbox.nodes.naming import expand_prefix, save_place

NOW = dt.datetime(2026, 3, 7, 9, 5, 2, tzinfo=dt.UTC)
PROMPT = {
    "1": {"class_type": "LabSampler", "inputs": {"seed": 42, "text": "a/b:c", "model": ["2", 0]}},
    "2": {"class_type": "LabLoader", "_meta": "none", "inputs": {"name": "small"}},
    "4": {"class_type": "EmptyImage"},
    "3": {"class_type": "EmptyImage", "_meta": {"title": "My Canvas"}, "inputs": {"width": 64}},
}


@pytest.mark.parametrize(
    ("prefix", "expanded"),
    [
        ("plain", "plain"),
        ("%width%x%height%", "640x480"),
        ("%year%-%month%-%day% %hour%.%minute%.%second%", "2026-03-07 09.05.02"),
        ("%date:yyyy-MM-dd%/%date:hhmmss%", "2026-03-07/090502"),
        ("%date:yy.M.d_h.m.s%", "26.3.7_9.5.2"),
        ("%LabSampler.seed%", "42"),
        ("%My Canvas.width%", "64"),
        ("%EmptyImage.width%", "64"),
        ("%LabSampler.text%", "a_b_c"),
        ("%LabSampler.model%", "%LabSampler.model%"),
        ("%LabLoader.name%", "small"),
        ("%LabSampler.none%", "%LabSampler.none%"),
        ("%Nothing.seed%", "%Nothing.seed%"),
        ("%unknown%", "%unknown%"),
        ("100% %width%", "100% 640"),
        ("%batch_num%", "%batch_num%"),
    ],
)
def test_expansion(prefix: str, expanded: str) -> None:
    assert expand_prefix(prefix, width=640, height=480, now=NOW, prompt=PROMPT) == expanded


def test_numbers_go_on(tmp_path: Path) -> None:
    assert save_place(tmp_path, "img").name(0) == "img_00001_.png"
    for name in (
        "img_00004_.png",
        "img_2_x.png",
        "img_x_00009_.png",
        "imgs_00011_.png",
        "img_7.png",
    ):
        (tmp_path / name).touch()
    place = save_place(tmp_path, "img")
    assert place.counter == 5
    assert [place.name(0), place.name(1)] == ["img_00005_.png", "img_00006_.png"]


def test_batch_numbers(tmp_path: Path) -> None:
    assert save_place(tmp_path, "i%batch_num%").name(3) == "i3_00004_.png"


def test_subfolders_are_made(tmp_path: Path) -> None:
    place = save_place(tmp_path, "a//b/../c/img")
    assert (place.folder, place.subfolder, place.stem) == (tmp_path / "a/c", "a/c", "img")
    assert place.folder.is_dir()


@pytest.mark.parametrize("prefix", ["../x", "a/../../x", "/etc/x", "link/x"])
def test_nothing_is_saved_outside(tmp_path: Path, prefix: str) -> None:
    base = tmp_path / "output"
    base.mkdir()
    (base / "link").symlink_to(tmp_path)
    with pytest.raises(OutsideFolderError, match=f"filename_prefix '{prefix}' leaves"):
        save_place(base, prefix)
    assert sorted(tmp_path.iterdir()) == [base]
