"""Output names, kept inputs and the secret file."""

import stat
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfynb.comfy import FileRef
from comfynb.engine.inputs import InputFolder
from comfynb.engine.outputs import OutputFolder, describe, media_type_of
from comfynb.engine.secrets import SecretFile
from comfynb.errors import InvalidValue, UsageError

PROMPT = "01234567-89ab-cdef-0123-456789abcdef"
WHEN = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@given(name=st.text(), names=st.lists(st.text(), max_size=8))
def test_whatever_the_server_calls_its_files_they_stay_in_the_folder(tmp_path_factory, name, names):
    root = tmp_path_factory.getbasetemp() / "outputs"
    folder = OutputFolder(root)
    place = folder.folder_for(name, WHEN)
    assert place.parent == root / "2026-11-21"
    placed = folder.destinations(place, PROMPT, [FileRef(each) for each in names])
    assert all(path.parent == place for _, path in placed)
    assert len({path.name.casefold() for _, path in placed}) == len(names)


def test_destinations_are_the_same_again_after_a_restart(tmp_path):
    folder = OutputFolder(tmp_path)
    files = [FileRef("a.png"), FileRef("a.png", type="temp"), FileRef("A.PNG")]
    first = folder.destinations(tmp_path, PROMPT, files)
    assert [path.name for _, path in first] == [
        f"0123456789ab-{name}" for name in ("a.png", "a (2).png", "A (3).PNG")
    ]
    assert first == folder.destinations(tmp_path, PROMPT, files)


def test_describe_reads_sizes_and_tolerates_what_is_no_picture(tmp_path):
    picture = tmp_path / "p.png"
    Image.new("RGB", (7, 5)).save(picture)
    assert describe(picture) == (7, 5)
    liar = tmp_path / "l.png"
    liar.write_bytes(b"no picture")
    assert describe(liar) == (None, None)
    other = tmp_path / "x.latent"
    other.write_bytes(b"")
    assert describe(other) == (None, None)


@pytest.mark.parametrize("error", [EOFError, KeyError, OverflowError, RuntimeError])
def test_describe_survives_whatever_a_damaged_header_makes_of_its_decoder(
    tmp_path, monkeypatch, error
):
    def broken(*_, **__):
        raise error("in the decoder")

    monkeypatch.setattr(Image, "open", broken)
    assert describe(tmp_path / "p.png") == (None, None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image/png"),
        ("a.WEBP", "image/webp"),
        ("a.mp4", "video/mp4"),
        ("a.flac", "audio/flac"),
        ("a", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_media_types(name, kind):
    assert media_type_of(name) == kind


def test_an_input_is_kept_once_and_as_it_was(tmp_path):
    inputs = InputFolder(tmp_path / "inputs")
    file = tmp_path / "face.png"
    file.write_bytes(b"first")
    kept = inputs.keep(file)
    assert kept.name == "face.png"
    assert inputs.keep(file) == kept
    file.write_bytes(b"second")
    assert inputs.keep(file) != kept
    assert kept.read_bytes() == b"first"
    assert inputs.keep_bytes("face.png", b"first") == kept
    assert not [path for path in inputs.root.iterdir() if path.is_file()]


def test_an_input_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidValue, match=r"gone\.png cannot be read: No such file"):
        InputFolder(tmp_path).keep(tmp_path / "gone.png")


@given(name=st.text())
def test_an_uploaded_name_stays_in_the_folder(tmp_path_factory, name):
    inputs = InputFolder(tmp_path_factory.getbasetemp() / "uploads")
    kept = inputs.keep_bytes(name, b"x")
    assert kept.parent.parent == inputs.root


def test_secrets_are_for_their_owner_only(tmp_path):
    file = SecretFile(tmp_path / "deep" / "secrets.json")
    assert file.get("a") is None
    file.set("a", "s3cret")
    file.set("b", "other")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert SecretFile(file.path).get("a") == "s3cret"
    file.remove("a")
    file.remove("a")
    assert file.get("a") is None
    assert "other" not in repr(file)


def test_a_secret_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "secrets.json"
    path.write_text('{"a": "s3cret"}')
    path.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others") as caught:
        SecretFile(path).get("a")
    assert "s3cret" not in str(caught.value)


def test_a_damaged_secret_file_is_named_and_kept(tmp_path):
    path = tmp_path / "secrets.json"
    path.write_text('{"a": "s3cret"')
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is damaged") as caught:
        SecretFile(path).set("b", "x")
    assert "s3cret" not in str(caught.value)
    assert path.read_text() == '{"a": "s3cret"'
