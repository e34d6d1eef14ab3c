"""The resolver: releases, hashes, who wants what, and what it cannot do."""

from dataclasses import replace
from pathlib import Path

import pytest

from comfynb.deploy.lock import Uv
from comfynb.deploy.lock.disagreement import disagreements, specifier_conflicts
from comfynb.deploy.lock.requirements import Wanted, read_requirements
from comfynb.deploy.lock.uv import Unsolvable, pinned
from comfynb.errors import DeploymentError


def wants(**parties: str) -> list[Wanted]:
    return [
        read_requirements(party, lines.split("|"), installs_torch=party == "ComfyUI")
        for party, lines in parties.items()
    ]


async def test_constraints_choose_and_install_nothing(uv: Uv) -> None:
    found = await uv.resolve(wants(ComfyUI="torch|numpy", Pack="torch<2.8|xformers"))
    assert not isinstance(found, Unsolvable)
    assert pinned(found) == {"numpy": "2.1.0", "torch": "2.7.0"}
    torch = next(one for one in found if one.name == "torch")
    assert torch.via == ["ComfyUI", "Pack"]
    assert all(value.startswith("sha256:") for value in torch.hashes)


async def test_former_releases_stay_where_they_fit(uv: Uv) -> None:
    found = await uv.resolve(wants(A="numpy"), former={"numpy": "1.26.4", "gone": "1"})
    assert not isinstance(found, Unsolvable)
    assert pinned(found) == {"numpy": "1.26.4"}
    moved = await uv.resolve(wants(A="numpy>=2"), former={"numpy": "1.26.4"})
    assert not isinstance(moved, Unsolvable)
    assert pinned(moved) == {"numpy": "2.1.0"}


async def test_nothing_of_a_package_runs(uv: Uv, wheels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    marker = tmp_path / "owned"
    import io
    import tarfile

    with tarfile.open(folder / "evil-1.0.tar.gz", "w:gz") as archive:
        for name, text in (
            (
                "evil-1.0/setup.py",
                f"open({str(marker)!r}, 'w')\nfrom setuptools import setup\nsetup()",
            ),
            ("evil-1.0/PKG-INFO", "Metadata-Version: 1.1\nName: evil\nVersion: 1.0\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    only = replace(uv, find_links=folder)
    wanted = wants(Pack="evil")
    answer = await only.resolve(wanted)
    assert isinstance(answer, Unsolvable)
    (conflict,) = await disagreements(wanted, only, answer)
    assert (conflict.kind, conflict.parties) == ("build", ("Pack",))
    assert not marker.exists()


async def test_names_of_packs_are_no_options_and_no_paths(uv: Uv) -> None:
    nasty = ["--index-url=https://evil.example", "../../etc/passwd", "a\n-r b", "$(touch x)"]
    found = await uv.resolve([read_requirements(name, ["pillow"]) for name in nasty])
    assert not isinstance(found, Unsolvable)
    assert found[0].via == sorted(nasty, key=lambda value: (value.lower(), value))


async def test_without_uv_nothing_is_resolved() -> None:
    with pytest.raises(DeploymentError, match="pip install uv"):
        await Uv(program=None).resolve(wants(A="numpy"))


async def test_what_uv_refuses_is_said(uv: Uv) -> None:
    with pytest.raises(DeploymentError, match="uv could not resolve"):
        await replace(uv, python="x").resolve(wants(A="numpy"))


async def test_many_lines_that_have_nothing_to_do_with_it(uv: Uv) -> None:
    many = "pillow|huggingface-hub|mid-lib|opencv-python"
    wanted = wants(A=f"{many}|old-lib", B=f"new-lib|{many}", C=many)
    answer = await uv.resolve(wanted)
    assert isinstance(answer, Unsolvable)
    (conflict,) = await disagreements(wanted, uv, answer)
    assert [str(claim) for claim in conflict.claims] == ["A wants old-lib", "B wants new-lib"]


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        ("x==1.0", "x>=2", True),
        ("x<2", "x>=2", True),
        ("x<2", "x>=1.9.9", False),
        ("x==1.*", "x>=1.5", False),
        ("x==1.*", "x>=2", True),
        ("x~=1.4", "x<1.4", True),
        ("x~=1.4", "x>=1.9", False),
        ("x>1", "x<1.0.1", False),
        ("x", "x==3", False),
        ("X_y==1", "x-y==2", True),
        ("x!=1", "x==1", True),
        ("x===weird", "x>1", False),
        ("x>=1,<2", "x>=1.99,<3", False),
    ],
)
def test_specifiers_alone_tell_direct_contradictions(one: str, other: str, conflict: bool) -> None:
    found = specifier_conflicts(wants(A=one, B=other))
    assert bool(found) is conflict
    if conflict:
        assert found[0].parties == ("A", "B")
