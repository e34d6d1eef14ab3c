"""Whole scripts pass the linters, the same lock gives the same texts, and the wheel has it all."""

import re
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


def test_a_huge_deployment(lock, tmp_path):
    """More models than an image has layers, more packages than a command line holds."""
    hashes = [f"sha256:{number:064x}" for number in range(40)]
    made = lock(
        name="x" * 5000,
        python={
            "version": "3.12",
            "requirements": [
                {"name": f"package-{n}", "version": "1.0", "hashes": hashes} for n in range(200)
            ],
        },
        nodes=[
            {
                "name": f"Pack {n}",
                "folder": f"pack-{n}",
                "repository": f"https://github.com/a/pack-{n}",
                "commit": f"{n:040x}",
            }
            for n in range(100)
        ],
        models=[
            {
                "name": f"model {n}",
                "filename": f"{n}.safetensors",
                "folder": "models/loras",
                "url": f"https://files.example/{n}",
                "size": 10**12,
                "sha256": f"{n:064x}",
            }
            for n in range(300)
        ],
        environment={f"V{n}": "x" * 10_000 for n in range(90)},
    )
    docker = render(made, "docker").files["Dockerfile"]
    assert docker.count("\nRUN ") < 60
    assert docker.count("lock_file") == 300 + 1  # the function's own name in the library
    script = written(render(made, "bash"), tmp_path)
    done = subprocess.run(
        ["bash", script, "--dry-run", "--workspace", tmp_path / "workspace"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "to fetch: 300 files, 272.8 TiB" in done.stdout
    assert "would fail: not enough disk" in done.stdout
    assert done.stdout.count("would check out") == 101


def layers(text):
    return re.findall(
        r"^RUN[^\n]*COMFYNB_STEP'\n.*?^COMFYNB_STEP\n", text, re.MULTILINE | re.DOTALL
    )


def test_layers_that_say_the_same_stay_in_the_cache(lock):
    """Another name, another model: what comes before it in the image is the same text."""
    one = layers(render(lock(**FULL), "docker").files["Dockerfile"])
    changed = {**FULL, "name": "Another", "models": [FULL["models"][0]], "environment": {}}
    other = layers(render(lock(**changed), "docker").files["Dockerfile"])
    assert len(one) == len(other) + 1 == 6
    assert one[:5] == other
    # A pack's commit changes its own layer, and no earlier one.
    packs = [{**FULL["nodes"][0], "commit": "e" * 40}, *FULL["nodes"][1:]]
    other = layers(render(lock(**{**FULL, "nodes": packs}), "docker").files["Dockerfile"])
    assert [left == right for left, right in zip(one, other, strict=True)] == [
        *[True] * 3,
        False,
        *[True] * 2,
    ]


def test_secrets_are_mounted_where_they_are_wanted_and_nowhere_else(lock):
    text = render(lock(**FULL), "docker").files["Dockerfile"]
    wanted = [re.findall(r"type=secret,id=(\w+),required=true", step) for step in layers(text)]
    assert wanted == [[], [], [], [], ["hf_token"], ["civitai_token"]]
    assert not re.search(r"^(ARG|ENV).*TOKEN", text, re.MULTILINE)
