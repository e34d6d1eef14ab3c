"""Whole scripts pass the linters, the same lock gives the same texts, and the wheel has it all."""

import subprocess
import sys
import zipfile
from datetime import UTC, datetime

import pytest

from comfynb.deploy.scripts import TARGETS, render
from comfynb.errors import DeploymentError

FULL = {
    "name": "All of it",
    "python": {
        "version": "3.12",
        "cuda": "12.8",
        "index": "https://index.example/simple",
        "torch_index": "https://torch.example/whl/cu128",
        "requirements": [
            {"name": "torch", "version": "2.8.0+cu128", "hashes": ["sha256:" + "1" * 64]},
            {"name": "numpy", "version": "2.1.0", "hashes": ["sha256:" + "2" * 64]},
            {"name": "unhashed", "version": "1.0"},
            {"name": "from-url", "url": "https://files.example/${HF_TOKEN}/from_url-1.0.tar.gz"},
        ],
    },
    "nodes": [
        {
            "name": "Cloned",
            "folder": "cloned",
            "repository": "https://github.com/a/cloned",
            "commit": "b" * 40,
            "install_script": True,
        },
        {
            "name": "Copied",
            "folder": "copied",
            "kind": "copy",
            "files": [{"url": "https://raw.example/one.py", "path": "__init__.py"}],
        },
        {
            "name": "Unpacked",
            "folder": "unpacked",
            "kind": "unzip",
            "registry_id": "unpacked",
            "version": "1.2.3",
            "files": [{"url": "https://cdn.example/node.zip", "path": "node.zip", "size": 9}],
        },
    ],
    "models": [
        {
            "name": "base",
            "filename": "base.safetensors",
            "folder": "models/checkpoints",
            "url": "https://huggingface.co/a/b/resolve/main/base.safetensors",
            "size": 1000,
            "sha256": "c" * 64,
            "auth": "HUGGINGFACE",
        },
        {
            "name": "detector",
            "filename": "d.pt",
            "folder": "custom_nodes/cloned/ckpts",
            "url": "https://civitai.com/api/download/models/1?fileId=2",
            "auth": "CIVITAI",
        },
    ],
    "packages": [{"name": "ffmpeg"}, {"name": "libgl1", "version": "1.6.0-1"}],
    "environment": {"A": "1", "HF_HOME": "/workspace/hf", "OPENAI_API_KEY": ""},
    "environment_name": "env-1",
}


def written(rendered, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered.files.items():
        (folder / name).write_text(text)
    return folder / rendered.main


@pytest.mark.parametrize("target", TARGETS)
def test_whole_files_pass_the_linters(target, lock, linter, tmp_path):
    rendered = render(lock(**FULL), target)
    main = written(rendered, tmp_path)
    assert main.exists()
    for name in rendered.executable:
        linter("shellcheck", tmp_path / name, cwd=tmp_path)
    if target == "compose":
        linter("check-jsonschema", "--builtin-schema", "vendor.compose-spec", main, cwd=tmp_path)
    if "Dockerfile" in rendered.files:
        linter("hadolint", tmp_path / "Dockerfile", cwd=tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_lock_gives_the_same_texts(target, lock):
    one = render(lock(**FULL), target)
    other = render(lock(**FULL, created_at=datetime(2026, 1, 1, tzinfo=UTC)), target)
    assert one == other


def test_the_wheel_holds_the_templates(repo, tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        pytest.skip("hatchling is not installed here: the wheel was NOT built")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    folder = repo / "comfynb" / "deploy" / "scripts"
    here = {
        str(path.relative_to(repo)) for path in (folder / "templates").rglob("*") if path.is_file()
    }
    assert len(here) > 10
    with zipfile.ZipFile(wheel) as archive:
        assert here <= set(archive.namelist())


def test_an_unknown_target(lock):
    with pytest.raises(DeploymentError, match="choose one of runpod, bash, docker, compose"):
        render(lock(), "ansible")
