"""Files arrive once each, over nothing and nowhere else, also when the process is killed."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from comfynb.engine.crashpoints import VARIABLE
from comfynb.engine.graph.delivery import (
    CRASH_POINTS,
    Delivery,
    DeliveryItem,
    deliver,
    resolve_folder,
)
from comfynb.errors import ComfynbError, InvalidValue

PROGRAM = Path(__file__).parent / "programs" / "delivers.py"


@pytest.fixture
def sources(tmp_path):
    """Three pictures that differ, with a workflow embedded in each."""
    folder = tmp_path / "made"
    folder.mkdir()
    paths = []
    for number in range(3):
        info = PngImagePlugin.PngInfo()
        info.add_text("workflow", f'{{"nodes": [{number}]}}')
        path = folder / f"ComfyUI_0000{number}_.png"
        Image.new("RGB", (8 + number, 6), (number, 0, 0)).save(path, pnginfo=info)
        paths.append(path)
    return paths


@pytest.fixture
def delivery(tmp_path, sources):
    return Delivery(
        job_id="5e0c11aa-0000",
        node_id="out",
        node="results",
        folder=tmp_path / "results",
        pattern="{name}",
        items=[DeliveryItem(path) for path in sources],
        at=datetime(2026, 11, 21, 15, 4, 5, tzinfo=UTC),
        ledger=tmp_path / "ledger",
    )


def again(delivery, **changes):
    return dataclasses.replace(delivery, **changes)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_copied_byte_for_byte_in_order(delivery, sources):
    delivered = deliver(delivery)
    assert [each.index for each in delivered] == [1, 2, 3]
    assert [each.path.name for each in delivered] == [path.name for path in sources]
    for each, source in zip(delivered, sources, strict=True):
        assert each.path.read_bytes() == source.read_bytes()
        assert each.size == source.stat().st_size
        assert each.to_json()["path"] == str(each.path)
    with Image.open(delivered[2].path) as picture:
        assert picture.text == {"workflow": '{"nodes": [2]}'}


def test_names_are_filled_from_what_is_known(delivery, sources):
    item = DeliveryItem(sources[1], "sub/Ada.png", {"seed": 7, "backend": "PC1", "workflow": "up"})
    pattern = "{node}/{name}_{index:02}_{seed}_{width}x{height}_{backend}_{workflow}_{job}_{graph}"
    delivered = deliver(again(delivery, items=[item], pattern=pattern, graph="faces"))
    assert files(delivery.folder) == ["results/Ada_01_7_9x6_PC1_up_5e0c11aa_faces.png"]
    assert delivered[0].path == delivery.folder / files(delivery.folder)[0]


def test_nothing_is_overwritten_whatever_has_the_name(delivery, tmp_path):
    outside = tmp_path / "outside"
    delivery.folder.mkdir()
    (delivery.folder / "x.png").write_text("mine")
    (delivery.folder / "x (2).png").mkdir()
    (delivery.folder / "x (3).png").symlink_to(outside)
    (delivery.folder / "x (4).png").symlink_to(delivery.folder / "x.png")
    delivered = deliver(again(delivery, pattern="x"))
    assert [each.path.name for each in delivered] == ["x (5).png", "x (6).png", "x (7).png"]
    assert (delivery.folder / "x.png").read_text() == "mine"
    assert not outside.exists()


def test_a_name_that_is_taken_at_the_last_moment_is_left_alone(delivery, monkeypatch):
    link = os.link

    def beaten(source, target, **ends):
        if target == "x.png":
            (delivery.folder / "x.png").write_text("faster")
        link(source, target, **ends)

    monkeypatch.setattr(os, "link", beaten)
    delivered = deliver(again(delivery, pattern="x", items=delivery.items[:1]))
    assert delivered[0].path.name == "x (2).png"
    assert (delivery.folder / "x.png").read_text() == "faster"


def test_a_link_within_the_folder_leads_nowhere_else(delivery, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    delivery.folder.mkdir()
    (delivery.folder / "results").symlink_to(outside, target_is_directory=True)
    with pytest.raises(ComfynbError, match="could not be written"):
        deliver(again(delivery, pattern="{node}/{name}"))
    assert files(outside) == []


def test_the_output_folder_itself_may_be_a_link(delivery, tmp_path):
    real = tmp_path / "disk"
    real.mkdir()
    delivery.folder.symlink_to(real, target_is_directory=True)
    deliver(delivery)
    assert len(files(real)) == 3


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "..\\evil.png", "..", "CON.png"]
)
def test_hostile_names_stay_in_the_folder(delivery, name, tmp_path):
    before = files(tmp_path)
    item = DeliveryItem(delivery.items[0].path, name, {"seed": "../../x", "backend": "a/b"})
    for pattern in ("{name}", "{seed}/{backend}/{name}"):
        (delivered,) = deliver(again(delivery, items=[item], pattern=pattern, job_id=pattern))
        assert delivered.path.resolve().is_relative_to(delivery.folder.resolve())
        assert delivered.path.suffix == ".png"
    grown = [path for path in files(tmp_path) if path not in before]
    assert all(path.startswith(("results/", "ledger/")) for path in grown)


def test_delivering_again_finds_what_is_there(delivery):
    first = deliver(delivery)
    assert deliver(delivery) == first
    assert len(files(delivery.folder)) == 3


def test_another_job_or_node_delivers_its_own_files(delivery):
    deliver(delivery)
    deliver(again(delivery, node_id="other"))
    deliver(again(delivery, job_id="other"))
    assert len(files(delivery.folder)) == 9


def test_what_was_made_anew_is_delivered_beside_the_former(delivery, sources):
    deliver(delivery)
    Image.new("RGB", (3, 3)).save(sources[0])
    delivered = deliver(delivery)
    assert delivered[0].path.name == "ComfyUI_00000_ (2).png"
    assert len(files(delivery.folder)) == 4


def test_a_delivered_file_that_somebody_changed_is_theirs(delivery):
    first = deliver(delivery)
    first[0].path.write_text("edited")
    delivered = deliver(delivery)
    assert delivered[0].path.name == "ComfyUI_00000_ (2).png"
    assert first[0].path.read_text() == "edited"


def test_a_name_of_another_that_looks_the_same_is_not_taken_for_ours(delivery, sources):
    """The same content under the same name, put there by somebody else: ours goes beside it."""
    delivery.folder.mkdir()
    theirs = delivery.folder / sources[0].name
    theirs.write_bytes(sources[0].read_bytes())
    delivered = deliver(delivery)
    assert delivered[0].path.name == "ComfyUI_00000_ (2).png"


def killed_at(delivery, point, number):
    """Deliver in a process of its own that is killed there; False if it never came so far."""
    arguments = [
        str(delivery.folder),
        delivery.pattern,
        delivery.job_id,
        str(delivery.ledger),
        *(str(item.path) for item in delivery.items),
    ]
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments],
        env={**os.environ, VARIABLE: f"{point}:{number}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


@pytest.mark.kill
@pytest.mark.parametrize("point", CRASH_POINTS)
@pytest.mark.parametrize("number", [1, 3])
def test_a_kill_between_any_two_steps_yields_no_second_copy(delivery, sources, point, number):
    assert killed_at(delivery, point, number)
    delivered = deliver(delivery)
    assert files(delivery.folder) == sorted(path.name for path in sources)
    for each, source in zip(delivered, sources, strict=True):
        assert each.path.read_bytes() == source.read_bytes()


@pytest.mark.kill
def test_killed_again_and_again_it_ends_with_one_of_each(delivery, sources):
    for point in reversed(CRASH_POINTS):
        killed_at(delivery, point, 1)
    deliver(delivery)
    assert files(delivery.folder) == sorted(path.name for path in sources)


def test_a_torn_line_in_the_ledger_is_no_line(delivery):
    first = deliver(delivery)
    (ledger,) = delivery.ledger.iterdir()
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: -len(whole.splitlines()[-1]) // 2])
    delivered = deliver(delivery)
    # The third line is gone: as after a kill before it was on the disk, the copy is made again.
    assert delivered[:2] == first[:2]
    assert deliver(delivery) == delivered


def test_processes_that_race_for_names_get_one_each(delivery, tmp_path):
    racers = 4
    sources = []
    for racer in range(racers):
        mine = [tmp_path / f"{racer}-{number}.txt" for number in range(10)]
        for path in mine:
            path.write_text(path.name)
        sources.append(mine)

    def race(racer):
        arguments = [str(delivery.folder), "same", f"job {racer}", str(delivery.ledger)]
        return subprocess.run(
            [sys.executable, PROGRAM, *arguments, *map(str, sources[racer])],
            check=True,
            capture_output=True,
        )

    with ThreadPoolExecutor(racers) as pool:
        list(pool.map(race, range(racers)))
    arrived = [path.read_text() for path in delivery.folder.iterdir()]
    assert sorted(arrived) == sorted(path.name for mine in sources for path in mine)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_files_are_created_exclusively(delivery, monkeypatch, code):
    def refused(*_, **__):
        raise OSError(code, "no links here")

    monkeypatch.setattr(os, "link", refused)
    (delivery.folder).mkdir()
    (delivery.folder / "x.png").write_text("mine")
    first = deliver(again(delivery, pattern="x"))
    assert [each.path.name for each in first] == ["x (2).png", "x (3).png", "x (4).png"]
    assert [each.path.read_bytes() for each in first] == [
        item.path.read_bytes() for item in delivery.items
    ]
    assert deliver(again(delivery, pattern="x")) == first
    assert len(files(delivery.folder)) == 4


def test_where_folders_cannot_be_held_open_paths_are_looked_at(delivery, monkeypatch, tmp_path):
    monkeypatch.setattr("comfynb.engine.graph.files.IN_FOLDERS", False)
    assert len(deliver(again(delivery, pattern="{node}/{name}"))) == 3
    assert deliver(again(delivery, pattern="{node}/{name}"))
    assert len(files(delivery.folder)) == 3
    (delivery.folder / "faces").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ComfynbError, match="could not be written"):
        deliver(again(delivery, pattern="{graph}/{name}", graph="faces", job_id="b"))


def test_a_file_that_is_gone_is_named(delivery, sources):
    sources[1].unlink()
    with pytest.raises(ComfynbError, match=r"ComfyUI_00001_\.png cannot be read"):
        deliver(delivery)
    assert files(delivery.folder) == [sources[0].name]


def test_a_full_disk_is_said_and_leaves_nothing_half(delivery, sources, monkeypatch):
    sync = os.fsync
    with monkeypatch.context() as patch:

        def full(fd):
            if "part" in str(Path(f"/proc/self/fd/{fd}").readlink()):
                raise OSError(errno.ENOSPC, "No space left on device")
            sync(fd)

        patch.setattr(os, "fsync", full)
        with pytest.raises(ComfynbError, match=r"could not be written: No space left on device\."):
            deliver(delivery)
    assert files(delivery.folder) == []
    assert len(deliver(delivery)) == 3
    assert files(delivery.folder) == sorted(path.name for path in sources)


def test_a_pattern_is_checked_before_anything_is_written(delivery):
    with pytest.raises(InvalidValue, match="unknown placeholder"):
        deliver(again(delivery, pattern="{sead}"))
    assert not delivery.folder.exists()


def test_folders_are_absolute_and_stay_what_they_were(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert resolve_folder("results", tmp_path) == tmp_path / "results"
    assert resolve_folder("~/results", tmp_path) == tmp_path / "home" / "results"
    assert resolve_folder("/srv/x", tmp_path) == Path("/srv/x")
    (tmp_path / "file").write_text("")
    for folder, said in [
        ("", "no path"),
        ("a\0b", "no path"),
        ("file", "is a file"),
        ("~nobody-of-that-name/x", "unknown user"),
    ]:
        with pytest.raises(InvalidValue, match=said):
            resolve_folder(folder, tmp_path)
