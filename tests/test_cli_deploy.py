"""``comfynb deploy`` does what wb.deployments does, with exit codes for scripts."""

import json

import pytest
from click.testing import CliRunner

from comfynb.cli import main
from comfynb.models import DeploymentUsage, Lock, LockRecord
from comfynb.sandbox import workflow_text
from comfynb.store import open_store


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYNB_USER", "ada")
    monkeypatch.setenv("COMFYNB_SECRETS", str(tmp_path / "secrets.json"))
    monkeypatch.delenv("COMFYNB_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portrait.json").write_text(workflow_text("portrait"))

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, ["deploy", *arguments], catch_exceptions=False)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.output

    return run


def give_lock(name):
    """A lock as if it had been made: the network is not for this test."""
    store = open_store("comfynb.duckdb")
    ((deployment_id,),) = (
        store.sql("select id from deployments where name = $1", [name]).result(30).rows
    )
    lock = Lock.model_validate(
        {"name": name, "comfyui": {"version": "0.3.64", "commit": "0123456789" * 4}}
    )
    content = lock.model_dump(mode="json")
    record = LockRecord(deploymentId=deployment_id, content=content, sha256="0" * 64)
    store.put(record).result(30)
    store.close().result(30)


def test_a_day_of_deployments(cli, tmp_path):
    # No backend and no catalogue say whose the sandbox's classes are: that is not guessed.
    text = cli("from-workflow", "portrait.json", code=3)
    assert text.startswith("portrait: 0 node packs")
    assert "unknown" in text
    assert "You have a deployment called 'portrait'" in cli(
        "from-workflow", "portrait.json", code=1
    )
    cli("from-workflow", "portrait.json", "--replace", code=3)
    assert "1 deployments, 1 of them yours" in cli("list")
    assert "portrait: 0 node packs" in cli("show", "portrait")
    assert "portrait has no lock yet" in cli("script", "portrait", code=1)
    give_lock("portrait")
    assert cli("script", "portrait", "--target", "bash").startswith("#!")
    main_file = cli("script", "portrait", "--target", "docker", "--to", "machine").split()[0]
    assert (tmp_path / main_file).is_file()
    assert cli("bundle", "export", "portrait", "b.json").strip() == "b.json"
    assert json.loads((tmp_path / "b.json").read_text())["lock"]["name"] == "portrait"
    assert cli("bundle", "import", "b.json", "--name", "again").startswith("again: 0 node packs")
    assert "2 deployments" in cli("list")
    store = open_store("comfynb.duckdb")
    assert store.count(DeploymentUsage).result(30) == 2
    store.close().result(30)


def test_the_catalogue_at_the_command_line(cli, tmp_path):
    pack = {
        "title": "Faces",
        "reference": "https://github.com/example/faces",
        "files": ["https://github.com/example/faces"],
        "install_type": "git-clone",
        "author": "Ada",
        "description": "about faces",
    }
    (tmp_path / "custom-node-list.json").write_text(json.dumps({"custom_nodes": [pack]}))
    assert "manager: COMPLETED" in cli("sync", "manager", "-o", f"place={tmp_path}")
    assert "https://github.com/example/faces" in cli("search", "faces", "--nodes")
    assert "0 models" in cli("search", "no such thing", "--type", "LORA")
    # Bob came second.
    refused = cli("sync", "manager", "-o", f"place={tmp_path}", "--user", "bob", code=1)
    assert "Start sync is for CURATOR or ADMIN, and bob@localhost is USER" in refused


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["from-workflow", "missing.json"], "missing.json"),
        (["from-workflow", "portrait.json", "--choose", "x"], "write it like"),
        (["show", "nobodys"], "There is no deployment called 'nobodys'"),
        (["sync", "nowhere"], "There is no source 'nowhere'"),
        (["sync", "manager", "-o", "x"], "write it like channel=legacy"),
        (["bundle", "import", "missing.json"], "missing.json cannot be read"),
        (["search", "--type", "MAGIC"], "MAGIC"),
    ],
)
def test_errors_are_sentences(cli, arguments, sentence):
    assert sentence in cli(*arguments, code=1)
