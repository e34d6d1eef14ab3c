"""Pinning node packs: releases, branches, copied files, and what each requires."""

import hashlib
from typing import Any

import pytest
from aiohttp import web

from comfynb.models import NodeVersion

RELEASE = NodeVersion(customNodeId="x", version="2.0.0", commit="d" * 40)


async def test_a_release_is_a_tag_or_what_the_registry_says(world: Any) -> None:
    first = world.pack("Alpha", tags=("v1.0",), config={"version": "1.0"})
    world.forge.commit("Alpha/Alpha", {"x": "2"})
    lock = (await world.lock()).lock
    assert (lock.nodes[0].commit, lock.nodes[0].version) == (first, "1.0")
    known = world.forge.commit("Beta/Beta", {"x": "1"})
    world.forge.commit("Beta/Beta", {"x": "2"})
    release = RELEASE.model_copy(update={"commit": known})
    world.pack("Beta", config={"version": "2.0.0"}, versions=(release,))
    beta = next(node for node in (await world.lock()).lock.nodes if node.name == "Beta")
    assert beta.commit == known


async def test_branches_and_commits_are_taken_as_asked(world: Any) -> None:
    first = world.pack("Alpha")
    second = world.forge.commit("Alpha/Alpha", {"x": "2"})
    assert (await world.lock()).lock.nodes[0].commit == second
    world.nodes[0].choice.config["commit"] = first
    assert (await world.lock()).lock.nodes[0].commit == first
    del world.nodes[0].choice.config["commit"]
    world.nodes[0].choice.config["branch"] = "main"
    assert (await world.lock()).lock.nodes[0].commit == second


async def test_requirements_come_from_the_files_of_the_commit(world: Any) -> None:
    world.pack(
        "Alpha",
        "-r more.txt\n-r ../../etc/passwd\nnumpy\n",
        files={"more.txt": "pillow\n-r again.txt\n", "again.txt": "torch\n"},
        pipRequirements=["huggingface-hub"],
    )
    world.forge.commit(
        "Beta/Beta",
        {
            "pyproject.toml": '[project]\nname="b"\nversion="3.1"\n'
            'dependencies=["old-lib"]\nlicense={text="MIT License"}\n'
        },
    )
    world.pack("Beta", files={"requirements.txt": ""})
    place = world.forge.root / "Beta" / "Beta"
    (place / "requirements.txt").unlink()
    world.forge.commit("Beta/Beta", {})
    report = await world.lock()
    alpha, beta = report.lock.nodes
    assert alpha.requirements == ["pillow", "numpy", "huggingface-hub"]
    assert beta.requirements == ["old-lib"]
    assert (beta.version, beta.license) == ("3.1", "MIT License")
    left = sorted(r.text for r in report.risks if r.kind == "requirement file")
    assert len(left) == 2


async def test_copied_and_unpacked_packs_are_pinned_by_content(world: Any, serve: Any) -> None:
    async def file(request: web.Request) -> web.Response:
        return web.Response(body=f"# {request.path}".encode())

    base = await serve({"/{path:.*}": file})
    world.allowed.add(base.removeprefix("http://"))
    world.pack(
        "Single",
        installType="copy",
        githubUrl=f"{base}/a/one.py",
        facts={"files": [f"{base}/a/one.py"]},
    )
    world.pack("Zip", installType="unzip", githubUrl=f"{base}/a/pack.zip")
    several = {"files": [f"{base}/a/one.py", f"{base}/a/two.py"]}
    world.pack("Many", installType="Copy", githubUrl=f"{base}/a/many", facts=several)
    report = await world.lock()
    by_name = {node.name: node for node in report.lock.nodes}
    (single,) = by_name["Single"].files
    assert (single.path, by_name["Single"].folder) == ("__init__.py", "one")
    assert single.sha256 == hashlib.sha256(b"# /a/one.py").hexdigest()
    assert single.size == len(b"# /a/one.py")
    (archive,) = by_name["Zip"].files
    assert (by_name["Zip"].kind, archive.path) == ("unzip", "pack.zip")
    assert [file.path for file in by_name["Many"].files] == ["one.py", "two.py"]
    assert any("has 2 modules and no __init__.py" in note for note in report.notes)
    assert {r.subject for r in report.risks if r.kind == "not cloned"} == {"Single", "Zip", "Many"}
    assert report.sizes.files == sum(f.size or 0 for n in report.lock.nodes for f in n.files)


async def test_what_cannot_be_fetched_names_the_pack(world: Any) -> None:
    world.pack("Gone", githubUrl="https://github.com/no/where", installType="git-clone")
    world.pack("Inside", installType="copy", githubUrl="http://169.254.169.254/x.py")
    world.pack("Odd", config={"folder": "../up"})
    report = await world.lock()
    assert [problem.split(":")[0] for problem in report.problems] == [
        "Node pack 'Gone'",
        "Node pack 'Inside'",
        "Node pack 'Odd'",
    ]


@pytest.mark.parametrize("text", ["not toml [", "[project]\ndependencies = 3\nlicense = 4\n"])
async def test_a_project_file_that_is_odd_says_nothing(world: Any, text: str) -> None:
    world.pack("Alpha", files={"pyproject.toml": text})
    assert (await world.lock()).lock.nodes[0].license is None
