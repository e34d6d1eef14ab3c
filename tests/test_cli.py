"""The command line does what the Workbench does, and shows its errors as sentences."""

import json

import pytest
from click.testing import CliRunner

from comfynb.cli import copy_notebooks, main
from comfynb.sandbox import Sandbox, workflow_text


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYNB_SECRETS", str(tmp_path / "secrets.json"))
    monkeypatch.delenv("COMFYNB_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portrait.json").write_text(workflow_text("portrait"))

    def run(*arguments, ok=True):
        result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
        assert (result.exit_code == 0) == ok, result.output
        assert "Traceback" not in result.output
        return result.output

    return run


def test_a_day_at_the_command_line(cli, sandbox):
    assert "no backends yet" in cli("backends")
    assert "online, ComfyUI 0.8.0" in cli("backends", "--add", sandbox.url, "--name", "gpu1")
    output = cli("run", "portrait.json", "--set", "steps=2", "--set", "seconds_per_step=0")
    assert "portrait: completed, on gpu1" in output
    assert output.splitlines()[-1].endswith(".png")
    assert "portrait: completed" in cli("jobs", "-n", "5", "--status", "completed")
    assert "no jobs yet" in cli("jobs", "--status", "failed")
    assert "0 findings" in cli("store", "check")
    assert "no backends yet" in cli("backends", "--remove", "gpu1")


def test_run_can_name_its_server(cli, sandbox):
    output = cli("run", "portrait.json", "--on", sandbox.url, "-p", "steps=2", "-p", "seconds=0")
    assert "completed" in output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["backends", "--add", "http://127.0.0.1:9"], "refuses connections"),
        (["backends", "--remove", "gpu9"], "There is no backend called 'gpu9'"),
        (["run", "portrait.json"], "wb.backends.add"),
        (["run", "missing.json"], "missing.json"),
        (["store", "check"], "There is no store at comfynb.duckdb"),
    ],
)
def test_errors_are_sentences(cli, arguments, sentence):
    assert sentence in cli(*arguments, ok=False)


def test_a_setting_without_a_value_is_named(cli, sandbox):
    output = cli("run", "portrait.json", "--on", sandbox.url, "--set", "steps", ok=False)
    assert "write it like seed=3" in output


def test_the_notebooks_are_copied_once(tmp_path):
    copy_notebooks(tmp_path / "work")
    tour = tmp_path / "work" / "01_run.ipynb"
    assert json.loads(tour.read_text())["nbformat"] == 4
    tour.write_text("mine")
    copy_notebooks(tmp_path / "work")
    assert tour.read_text() == "mine"


def test_help_names_every_command():
    output = CliRunner().invoke(main, ["--help"]).output
    for command in ("lab", "demo", "run", "backends", "jobs", "sandbox", "store"):
        assert command in output


def test_lab_opens_the_tour_and_prints_an_address_that_does(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("os.execv", lambda program, arguments: started.append(arguments))
    monkeypatch.chdir(tmp_path)  # the command changes the folder, and pytest changes it back
    done = CliRunner().invoke(main, ["lab", str(tmp_path / "work"), "--no-browser"])
    assert done.exit_code == 0, done.output
    (arguments,) = started
    assert "--LabApp.default_url=/lab/tree/01_run.ipynb" in arguments
    assert (tmp_path / "work" / "01_run.ipynb").is_file()
