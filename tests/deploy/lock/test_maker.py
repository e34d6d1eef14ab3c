"""make_lock: what comes out of a deployment, and what stands in the way of one."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.lock import LockReport, lock_text, read_lock
from comfynb.errors import AddressRefused, Conflict, DeploymentError
from comfynb.models import PackageType, SystemPackage

HF = "https://huggingface.co/org/repo/resolve/main/x.safetensors"
COMMIT = "c" * 40
SHA = "a" * 64


def kinds(report: LockReport) -> set[tuple[str, str]]:
    return {(risk.kind, risk.subject) for risk in report.risks}


async def test_everything_is_pinned(world: Any) -> None:
    commit = world.pack("Alpha", "huggingface_hub>=0.30\ntorch>=2.7\n", facts={"license": "MIT"})
    known = {"revision": COMMIT, "sha256": SHA, "fileSize": 2**30}
    world.model(HF, "x.safetensors", version=known)
    world.packages = [
        SystemPackage(deploymentId="d1", packageType=PackageType.APT, name="ffmpeg"),
        SystemPackage(
            deploymentId="d1", packageType=PackageType.PIP, name="old-lib", version=">=1"
        ),
    ]
    world.deployment.environmentVars = {"B": "2", "A": "1"}
    report = await world.lock()
    lock = report.lock
    assert (lock.comfyui.version, len(lock.comfyui.commit)) == ("0.3.64", 40)
    (node,) = lock.nodes
    assert (node.commit, node.folder, node.license) == (commit, "Alpha", "MIT")
    assert node.requirements == ["huggingface_hub>=0.30", "torch>=2.7"]
    (model,) = lock.models
    assert model.url == HF.replace("main", COMMIT)
    assert (model.revision, model.sha256, model.size, model.auth) == (COMMIT, SHA, 2**30, None)
    pins = {one.name: one.version for one in lock.python.requirements}
    # torch is nobody's but ComfyUI's to install.
    assert pins == {
        "huggingface-hub": "1.2.0",
        "numpy": "1.26.4",
        "old-lib": "1.0",
        "pillow": "11.0.0",
    }
    assert all(one.hashes for one in lock.python.requirements)
    via = {one.name: one.via for one in lock.python.requirements}
    assert via["huggingface-hub"] == ["Alpha"]
    assert via["numpy"] == ["ComfyUI", "old-lib"]
    assert via["old-lib"] == ["deployment"]
    assert [package.name for package in lock.packages] == ["ffmpeg"]
    assert list(lock.environment) == ["A", "B"]
    assert lock.python.torch_index == "https://download.pytorch.org/whl/cu128"
    assert report.sizes.models == 2**30
    assert report.sizes.unknown_models == 0
    assert report.python_check == "uv"
    assert read_lock(lock_text(lock)) == lock
    assert "1.00 GiB to download" in str(report)


async def test_the_same_deployment_gives_the_same_lock(world: Any) -> None:
    for name in ("Beta", "alpha", "Gamma"):
        world.pack(name, "numpy\n")
    first = (await world.lock()).lock
    world.nodes.reverse()
    second = (await world.lock()).lock
    assert first.model_copy(update={"created_at": second.created_at}) == second
    again = (await world.lock(former=first)).lock
    assert lock_text(again) == lock_text(first)


async def test_two_packs_that_disagree_are_named_with_their_lines(world: Any) -> None:
    world.pack("Alpha", "huggingface_hub==0.24.6\npillow\n")
    world.pack("Beta", "numpy\nhuggingface-hub>=0.34\n")
    report = await world.lock()
    (conflict,) = report.blocking
    assert conflict.parties == ("Alpha", "Beta")
    assert [str(claim) for claim in conflict.claims] == [
        "Alpha wants huggingface_hub==0.24.6",
        "Beta wants huggingface-hub>=0.34",
    ]
    assert report.draft is None
    with pytest.raises(
        Conflict, match=r"Alpha wants huggingface_hub==0\.24\.6, but Beta wants"
    ) as no:
        _ = report.lock
    assert no.value.problems == (str(conflict),)


async def test_packs_may_disagree_through_what_they_want(world: Any) -> None:
    world.pack("Alpha", "old-lib\n")
    world.pack("Beta", "pillow\nnew-lib\n")
    (conflict,) = (await world.lock()).blocking
    assert {claim.wants for claim in conflict.claims} == {"old-lib", "new-lib"}
    assert "numpy" in conflict.detail


async def test_three_packs_may_disagree_only_together(world: Any) -> None:
    world.pack("Alpha", "numpy>=2\n")
    world.pack("Beta", "numpy<2.1\n")
    world.pack("Gamma", "numpy!=2.0.2\n")
    world.pack("Delta", "pillow\n")
    (conflict,) = (await world.lock()).blocking
    assert set(conflict.parties) == {"Alpha", "Beta", "Gamma"}


async def test_several_conflicts_are_all_named(world: Any) -> None:
    world.pack("Alpha", "huggingface_hub==0.24.6\nold-lib\n")
    world.pack("Beta", "huggingface_hub>=1\nnew-lib\n")
    found = (await world.lock()).blocking
    assert {frozenset(claim.wants for claim in conflict.claims) for conflict in found} == {
        frozenset({"huggingface_hub==0.24.6", "huggingface_hub>=1"}),
        frozenset({"old-lib", "new-lib"}),
    }


async def test_a_pack_may_disagree_with_comfyui(world: Any) -> None:
    world.forge.commit("comfyanonymous/ComfyUI", {"requirements.txt": "numpy>=2\n"}, "v0.4.0")
    world.pack("Alpha", "numpy<2\n")
    report = await world.lock()
    (conflict,) = report.blocking
    assert conflict.parties == ("ComfyUI", "Alpha")
    older = await world.lock(comfyui="0.3.64")
    assert older.lock.comfyui.version == "0.3.64"


async def test_a_pack_may_not_choose_another_torch(world: Any) -> None:
    world.forge.commit("comfyanonymous/ComfyUI", {"requirements.txt": "torch==2.8.0\n"}, "v0.5.0")
    world.pack("Alpha", "torch==2.7.0\n")
    (conflict,) = (await world.lock()).blocking
    assert conflict.parties == ("ComfyUI", "Alpha")


async def test_a_release_that_nobody_has_is_the_packs_own_fault(world: Any) -> None:
    world.pack("Alpha", "huggingface_hub==99\n")
    (conflict,) = (await world.lock()).blocking
    assert (conflict.kind, conflict.parties) == ("unavailable", ("Alpha",))


async def test_a_folder_wanted_twice_is_a_conflict_unless_renamed(world: Any) -> None:
    world.pack("Alpha", githubUrl="https://github.com/one/Same")
    world.pack("Beta", githubUrl="https://github.com/two/same")
    (conflict,) = (await world.lock()).blocking
    assert conflict.kind == "folder"
    assert "Alpha (https://github.com/one/Same)" in conflict.parties
    world.nodes[1].choice.config["folder"] = "other"
    assert {node.folder for node in (await world.lock()).lock.nodes} == {"Same", "other"}


async def test_classes_wanted_twice_are_said_and_do_not_stop(world: Any) -> None:
    world.pack("Alpha", nodeClasses=["Load", "OnlyA", "KSampler"])
    world.pack("Beta", nodeClasses=["Load", "OnlyB"])
    world.pack(
        "Core",
        githubUrl="https://github.com/comfyanonymous/ComfyUI",
        installType="core",
        nodeClasses=["KSampler"],
    )
    report = await world.lock()
    assert len(report.lock.nodes) == 2
    assert [(conflict.subject, conflict.parties) for conflict in report.conflicts] == [
        ("Node class 'Load'", ("Alpha", "Beta")),
        ("Node class 'KSampler'", ("ComfyUI", "Alpha")),
    ]
    assert report.blocking == ()


async def test_a_file_wanted_twice_is_a_conflict_unless_it_is_the_same(world: Any) -> None:
    pinned = {"revision": COMMIT, "sha256": SHA, "fileSize": 5}
    world.model(HF, "x.safetensors", version=pinned)
    other = HF.replace("org/repo", "other/place")
    world.model(other, "y.safetensors", custom="X.safetensors", version=pinned)
    assert len((await world.lock()).lock.models) == 1
    another = {**pinned, "sha256": "b" * 64}
    world.model(HF.replace("org", "third"), "x.safetensors", version=another)
    (conflict,) = (await world.lock()).blocking
    assert conflict.kind == "model"


async def test_without_uv_the_check_is_weaker_and_says_so(world: Any) -> None:
    from comfynb.deploy.lock import Uv

    world.pack("Alpha", "huggingface_hub==0.24.6\nold-lib\n")
    world.pack("Beta", "huggingface_hub>=0.34\nnew-lib\n")
    report = await world.lock(uv=Uv(program=None))
    assert [conflict.parties for conflict in report.blocking] == [("Alpha", "Beta")]
    assert report.python_check == "specifiers"
    assert any("only compared line by line" in note for note in report.notes)
    world.nodes.pop()
    with pytest.raises(DeploymentError, match="install uv"):
        _ = (await world.lock(uv=Uv(program=None))).lock


async def test_what_cannot_be_pinned_is_said_for_each(world: Any) -> None:
    world.pack("Alpha", config={"version": "9.9"})
    world.pack("Beta", config={"branch": "gone"})
    world.pack("Gamma", config={"commit": "1234"})
    world.nodes[2].choice.config["commit"] = "1234"
    report = await world.lock()
    assert len(report.problems) == 3
    assert "'Alpha': it has no release '9.9'" in report.problems[0]
    with pytest.raises(DeploymentError, match=r"cannot be locked: Node pack 'Alpha'.*and 2 more"):
        _ = report.lock


async def test_what_is_switched_off_is_left_out(world: Any) -> None:
    world.pack("Alpha", "huggingface_hub==99\n")
    world.nodes[0].choice.isEnabled = False
    world.model(HF, "x.safetensors")
    world.models[0].choice.isEnabled = False
    lock = (await world.lock()).lock
    assert lock.nodes == lock.models == []


async def test_risks_are_named(world: Any, serve: Any) -> None:
    async def huggingface(request: web.Request) -> web.Response:
        return web.Response(status=404)

    base = await serve({"/{path:.*}": huggingface})
    world.allowed.add(base.removeprefix("http://"))
    world.sources = type(world.sources)(base, base)
    world.pack(
        "Alpha",
        "git+https://github.com/x/y\n--extra-index-url https://evil.example/simple\n"
        "foo @ https://evil.example/foo.whl\n-e .\nopencv-python\nopencv-python-headless\n",
        files={"install.py": "raise SystemExit('this must never run')"},
        facts={"status": "NodeStatusBanned", "authorAgeDays": 12, "channel": "dev", "stars": 0},
    )
    world.model(HF.replace("safetensors", "ckpt"), "x.ckpt", version={"scan": "Danger"})
    report = await world.lock()
    assert report.lock.nodes[0].install_script
    assert {
        ("banned", "Alpha"),
        ("young author", "Alpha"),
        ("channel", "Alpha"),
        ("install script", "Alpha"),
        ("requirement git", "Alpha"),
        ("requirement option", "Alpha"),
        ("requirement url", "Alpha"),
        ("licence", "Alpha"),
        ("opencv", "opencv"),
        ("pickle", "models/loras/x.ckpt"),
        ("scan", "models/loras/x.ckpt"),
        ("no hash", "models/loras/x.ckpt"),
        ("no size", "models/loras/x.ckpt"),
        ("not asked", "models/loras/x.ckpt"),
    } <= kinds(report)
    assert report.sizes.unknown_models == 1
    assert "1 file of unknown size" in str(report.sizes)
    assert {one.name for one in report.lock.python.requirements} >= {"opencv-python", "numpy"}


async def test_folders_are_judged_by_the_pinned_comfyui(world: Any) -> None:
    pinned = {"revision": COMMIT, "sha256": SHA, "fileSize": 5}
    world.model(HF, "x.safetensors", folder="models/geometry_estimation", version=pinned)
    world.model(HF.replace("x.", "y."), "y.gguf", folder="models/unet", version=pinned)
    report = await world.lock()
    assert any("is not known to ComfyUI 0.3.64" in note for note in report.notes)
    assert any("does not list .gguf" in note for note in report.notes)


async def test_a_former_lock_stays_as_it_is(world: Any) -> None:
    before = world.pack("Alpha", "numpy<2\n")
    first = (await world.lock()).lock
    assert {one.name: one.version for one in first.python.requirements}["numpy"] == "1.26.4"
    after = world.forge.commit("Alpha/Alpha", {"requirements.txt": "numpy\n"})
    world.forge.commit("comfyanonymous/ComfyUI", {}, "v0.4.0")
    assert before != after
    second = (await world.lock(former=first)).lock
    assert lock_text(second) == lock_text(first)
    third = (await world.lock(former=first, upgrade={"Alpha"})).lock
    assert third.nodes[0].commit == after
    assert third.comfyui.version == "0.3.64"
    # What still fits stays, although there is a newer one.
    assert {one.name: one.version for one in third.python.requirements}["numpy"] == "1.26.4"
    fourth = (await world.lock(former=first, upgrade=True)).lock
    assert fourth.comfyui.version == "0.4.0"
    assert {one.name: one.version for one in fourth.python.requirements}["numpy"] == "2.1.0"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cuda_version": "x"}, "CUDA 'x' is none"),
        ({"cuda_version": "9.0"}, "older than PyTorch"),
        ({"python_version": "2.7"}, "Python '2.7'"),
        ({"comfyui_version": 3}, "comfyui_version must be a text"),
        ({"comfyui_version": "9.9.9"}, "ComfyUI has no release '9.9.9': the newest are 0.3.64"),
        ({"comfyui_version": "nightly"}, "cannot be pinned"),
    ],
)
async def test_settings_that_cannot_be_understood_are_refused(
    world: Any, settings: dict[str, Any], sentence: str
) -> None:
    world.deployment.customSettings = settings
    with pytest.raises(DeploymentError, match=sentence):
        await world.lock()


@pytest.mark.parametrize(
    "index",
    ["http://169.254.169.254/simple", "https://127.0.0.1/simple", "https://[::1]/simple"],
)
async def test_uv_is_not_sent_to_private_addresses(world: Any, index: str) -> None:
    world.deployment.customSettings = {"custom_pip_index": index}
    with pytest.raises(AddressRefused):
        await world.lock(uv=replace(world.uv, no_index=False))


async def test_an_archive_at_a_private_address_is_not_asked_either(world: Any) -> None:
    world.packages = [
        SystemPackage(
            deploymentId="d1",
            packageType=PackageType.PIP,
            name="foo",
            installUrl="https://10.0.0.1/foo-1.0-py3-none-any.whl",
        )
    ]
    with pytest.raises(AddressRefused):
        await world.lock()
