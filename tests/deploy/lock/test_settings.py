"""What a deployment's settings and packages mean."""

from typing import Any

import pytest

from comfynb.deploy.lock.settings import read_packages, read_wishes
from comfynb.errors import DeploymentError
from comfynb.models import Deployment, PackageType, SystemPackage


def wishes(**settings: Any) -> Any:
    return read_wishes(Deployment(name="x", userId="u", customSettings=settings))


@pytest.mark.parametrize(
    ("text", "cuda", "backend"),
    [
        (None, "12.8", "cu128"),
        ("12.8", "12.8", "cu128"),
        ("12.7", "12.7", "cu126"),
        ("13.1.2", "13.1.2", "cu130"),
        ("cpu", None, "cpu"),
        ("None", None, "cpu"),
    ],
)
def test_cuda_chooses_where_torch_comes_from(
    text: str | None, cuda: str | None, backend: str
) -> None:
    found = wishes(cuda_version=text)
    assert (found.cuda, found.backend) == (cuda, backend)
    assert found.torch_index == f"https://download.pytorch.org/whl/{backend}"
    assert bool(found.notes) is (text in {"12.7", "13.1.2"})


def test_other_settings_are_passed_on() -> None:
    found = wishes(
        python_version="3.11",
        custom_pip_index="https://pip.example/simple",
        workspace_path="/workspace",
        environment_name="env",
        comfyui_version="0.3.64",
    )
    assert (found.python, found.index, found.comfyui) == (
        "3.11",
        "https://pip.example/simple",
        "0.3.64",
    )
    assert (found.workspace, found.environment_name) == ("/workspace", "env")


def package(kind: PackageType, name: str, **fields: Any) -> SystemPackage:
    return SystemPackage(deploymentId="d", packageType=kind, name=name, **fields)


def test_packages_are_split_by_who_installs_them() -> None:
    apt, pip = PackageType.APT, PackageType.PIP
    debian, wanted, notes = read_packages(
        [
            package(apt, "ffmpeg"),
            package(apt, "git", version="==1:2.39.5-0+deb12u2"),
            package(apt, "wget", version=">=1.0"),
            package(pip, "numpy", version="2.0"),
            package(pip, "einops[x]", version=">=0.8,<1"),
            package(pip, "foo", installUrl="https://files.example/foo-1.0-py3-none-any.whl"),
            package(pip, "bar", installUrl="git+https://github.com/x/bar"),
            package(pip, "baz", installUrl="https://x.example/${HF_TOKEN}/baz.whl"),
            package(pip, "torch", version="2.8.0"),
        ]
    )
    assert [(one.name, one.version) for one in debian] == [
        ("ffmpeg", None),
        ("git", "1:2.39.5-0+deb12u2"),
        ("wget", None),
    ]
    assert wanted.lines == ("numpy==2.0", "einops[x]<1,>=0.8", "torch==2.8.0")
    assert wanted.urls == {"foo": "https://files.example/foo-1.0-py3-none-any.whl"}
    assert [odd.line.split(" ")[0] for odd in wanted.odd] == ["bar", "baz"]
    assert len(notes) == 1
    assert "wget" in notes[0]


def test_a_version_that_pip_does_not_understand_is_refused() -> None:
    with pytest.raises(DeploymentError, match="correct its version"):
        read_packages([package(PackageType.PIP, "numpy", version="=>2")])
