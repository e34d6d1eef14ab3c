"""Requirement files: what is resolved, what is a risk, and nothing secret in what is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from comfynb.deploy.lock.requirements import is_torch_family, read_requirements


def test_plain_lines_are_taken_and_comments_left_out() -> None:
    text = [
        "numpy>=1.26  # why",
        "",
        "# all",
        "Pillow",
        "a[b,c]~=1.0 ; python_version > '3'",
        "x\\",
        ">=2",
    ]
    wanted = read_requirements("P", text)
    assert wanted.lines == (
        "numpy>=1.26", "Pillow", 'a[b,c]~=1.0; python_version > "3"', "x>=2"
    )  # fmt: skip
    assert wanted.odd == ()


def test_torch_and_its_relatives_only_limit() -> None:
    lines = ["torch[opt]>=2", "xformers==0.0.30", "nvidia-cudnn-cu12", "torchsde"]
    wanted = read_requirements("P", lines)
    assert wanted.lines == ("torchsde",)
    assert wanted.constraints == ("torch>=2", "xformers==0.0.30", "nvidia-cudnn-cu12")
    assert read_requirements("ComfyUI", lines, installs_torch=True).constraints == ()
    assert is_torch_family("Torch_Audio") is False
    assert is_torch_family("TorchAudio")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("git+https://github.com/x/y", "git"),
        ("sam2 @ git+https://github.com/x/y@main", "git"),
        ("foo @ https://x.example/foo.whl", "url"),
        ("https://x.example/foo.whl", "url"),
        ("--index-url https://x.example/simple", "option"),
        ("--extra-index-url=https://x.example", "option"),
        ("-f https://x.example", "option"),
        ("--find-links ./wheels", "option"),
        ("--trusted-host x.example", "option"),
        ("-r other.txt", "file"),
        ("-e .", "git"),
        ("./wheels/foo.whl", "file"),
        ("foo.whl", "file"),
        ("numpy==", "unreadable"),
        ("two words", "unreadable"),
        ("$(touch x)", "unreadable"),
    ],
)
def test_other_lines_are_risks_and_not_followed(line: str, kind: str) -> None:
    wanted = read_requirements("P", [line])
    assert wanted.lines == wanted.constraints == ()
    assert [odd.kind for odd in wanted.odd] == [kind]


def test_hashes_of_a_pack_do_not_count() -> None:
    line = "numpy==1.26.4 --hash=sha256:" + "a" * 64
    assert read_requirements("P", [line]).lines == ("numpy==1.26.4",)


def test_nothing_secret_is_repeated() -> None:
    lines = ["foo @ https://user:hunter2@x.example/f.whl", "-i https://x.example/?token=hunter2"]
    odd = read_requirements("P", lines).odd
    assert len(odd) == 2
    assert "hunter2" not in str(odd)


def test_endless_files_are_cut() -> None:
    wanted = read_requirements("P", (f"p{i}" for i in range(5000)))
    assert len(wanted.lines) == 2000
    assert wanted.odd[-1].kind == "left out"


@given(st.lists(st.text(max_size=40), max_size=8))
def test_whatever_is_taken_is_a_requirement_on_one_line(lines: list[str]) -> None:
    wanted = read_requirements("P", lines)
    for line in (*wanted.lines, *wanted.constraints):
        requirement = Requirement(line)
        assert requirement.url is None
        assert "\n" not in line
        assert not line.startswith("-")
    for odd in wanted.odd:
        assert odd.line.isprintable()
