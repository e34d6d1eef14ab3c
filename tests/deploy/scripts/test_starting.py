"""Options, the plan, the start of ComfyUI, packages of the system, and other kinds of packs."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml


def report(machine):
    return json.loads((machine.folder / "report.json").read_text())


def test_comfyui_starts_with_the_variables_and_without_tokens(machine, small, tokens):
    evil = "a'\"$(touch x)`y`\n!\t\N{RIGHT-TO-LEFT OVERRIDE}\\"
    names = {"CIVITAI_TOKEN": "", "MY_SECRET": ""}
    lock = small(nodes=[], environment={"EVIL": evil, "UID": "7", **names})
    machine.watch("git", environments=True)
    pod = {"RUNPOD_POD_ID": "abc123", "MY_SECRET": "only ComfyUI's"}
    ended = machine.run(lock, "runpod", "--port", "9000", **pod, **tokens)
    assert ended.code == 0, ended.said
    told = (machine.stubs / "environments").read_text()
    assert "abc123" in told
    assert "only ComfyUI's" not in told
    told = report(machine)
    assert told["argv"] == ["--listen", "0.0.0.0", "--port", "9000", "--cpu"]
    assert told["environ"]["EVIL"] == evil
    assert told["environ"]["UID"] == "7"
    assert "HF_TOKEN" not in told["environ"]
    # The deployment names these without a value: they are passed on, and not in an argument.
    assert told["environ"]["MY_SECRET"] == "only ComfyUI's"
    assert told["environ"]["CIVITAI_TOKEN"] == tokens["CIVITAI_TOKEN"]
    line = "wb.backends.add(\"https://abc123-9000.proxy.runpod.net\", name='portrait')"
    assert f"In comfynb: {line}\n" in ended.said


def test_the_line_that_registers_it_is_python(machine, small):
    name = 'it\'s "mine" \N{PILE OF POO} \\ $(x)'
    lock = small(nodes=[], name=name)
    ended = machine.run(lock, "bash", "--listen", "0.0.0.0", COMFYNB_ADDRESS="gpu1")
    (line,) = [line for line in ended.said.splitlines() if line.startswith("In comfynb: ")]
    added = {}

    class Backends:
        def add(self, url, name):
            added[url] = name

    class Workbench:
        backends = Backends()

    eval(line.removeprefix("In comfynb: "), {"wb": Workbench})
    assert added == {"http://gpu1:8188": name}


def test_models_in_a_folder_of_their_own(machine, hosts, small, model, body):
    facts = hosts.put("files.example/one", body(1000))
    lock = small(nodes=[], models=[model(facts), model(facts, "two.pt", folder="models/a b/c")])
    shared = machine.folder / 'sh"ared\\'
    ended = machine.run(lock, "bash", "--models", str(shared), "--start")
    assert ended.code == 0, ended.said
    assert (shared / "checkpoints" / "one.safetensors").exists()
    assert (shared / "a b" / "c" / "two.pt").exists()
    assert machine.files() == set()
    option, path = report(machine)["argv"][-2:]
    assert option == "--extra-model-paths-config"
    assert yaml.safe_load(Path(path).read_text()) == {
        "comfynb": {"base_path": str(shared), "a b": "a b/", "checkpoints": "checkpoints/"}
    }


def test_a_container_of_compose_keeps_its_models(machine, hosts, small, model, tokens):
    content = b"x" * 9000
    gate = {"token": tokens["HF_TOKEN"], "location": "https://cdn.example/x"}
    facts = hosts.put("huggingface.co/one", content, always=gate)
    hosts.put("cdn.example/x", content)
    lock = small(models=[model(facts, "one.pt", auth="HUGGINGFACE")], environment={"A": "b"})
    assert machine.run(lock, "compose").code == 0
    dockerfile = machine.folder / "compose" / "Dockerfile"
    assert hosts.asked == [], "no model is part of the image"
    volume = machine.folder / "volume"
    (machine.folder / "secrets" / "hf_token").write_text(tokens["HF_TOKEN"])
    environment = {
        **machine.image(dockerfile),
        "COMFYNB_SECRETS": str(machine.folder / "secrets"),
        "COMFYNB_MODELS": str(volume),
        "COMFYNB_STATE": str(volume / ".comfynb"),
    }
    start = dockerfile.parent / "COMFYNB_START"
    ended = machine.execute("bash", start, **environment)
    assert ended.code == 0, ended.said
    assert (volume / "checkpoints" / "one.pt").read_bytes() == content
    assert report(machine)["argv"][:2] == ["--listen", "0.0.0.0"]
    assert not any("TOKEN" in name for name in report(machine)["environ"])
    hosts.asked.clear()
    assert machine.execute("bash", start, **environment).code == 0
    assert hosts.asked == []


# Packs that are not cloned ----------------------------------------------------------------------


def make_zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def unpacked(hosts, small, content):
    facts = hosts.put("cdn.example/node.zip", content)
    pack = {
        "name": "Unpacked",
        "folder": "unpacked",
        "kind": "unzip",
        "files": [{**facts, "path": "node.zip"}],
    }
    return small(nodes=[pack])


def test_packs_of_files_and_archives(machine, hosts, small):
    one = hosts.put("files.example/one.py", b"ONE = 1\n")
    lock = unpacked(hosts, small, make_zip({"__init__.py": "X = 1\n", "js/a.js": "1"}))
    lock.nodes.append(
        type(lock.nodes[0])(
            name="Copied", folder="copied", kind="copy", files=[{**one, "path": "sub/one.py"}]
        )
    )
    ended = machine.run(lock)
    assert ended.code == 0, ended.said
    assert machine.path("custom_nodes/unpacked/js/a.js").read_text() == "1"
    assert machine.path("custom_nodes/copied/sub/one.py").read_bytes() == b"ONE = 1\n"
    hosts.asked.clear()
    ended = machine.run(lock)
    assert ended.code == 0, ended.said
    assert hosts.asked == []
    newer = unpacked(hosts, small, make_zip({"__init__.py": "X = 2\n"}))
    assert machine.run(newer).code == 0
    assert machine.path("custom_nodes/unpacked/__init__.py").read_text() == "X = 2\n"
    assert not machine.path("custom_nodes/unpacked/js").exists()


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", "a/../../evil.py", "..\\evil.py"])
def test_an_archive_that_leads_out(name, machine, hosts, small):
    ended = machine.run(unpacked(hosts, small, make_zip({"__init__.py": "", name: "evil"})))
    assert ended.code == 5
    assert "unsafe name" in ended.said
    assert not machine.path("custom_nodes", "unpacked").exists()
    assert not list(machine.folder.rglob("evil.py"))


def test_no_archive_at_all(machine, hosts, small):
    ended = machine.run(unpacked(hosts, small, b"PK no"))
    assert ended.code == 5
    assert not machine.path("custom_nodes", "unpacked").exists()


# Packages of the system -------------------------------------------------------------------------

APT = """\
echo "$*" >>"$STUBS/apt"
case " $* " in
  *" update "*) touch "$STUBS/updated" ;;
  *" --no-download "*) [[ -e $STUBS/fetched ]] || exit 100 ;;
  *" install "*) [[ -e $STUBS/updated ]] || exit 100; touch "$STUBS/fetched" ;;
esac
[[ " $* " != *" install "* ]] || touch "$STUBS/installed"
"""
DPKG = """\
[[ -e $STUBS/installed ]] || exit 1
for name in "${@:3}"; do
  case $name in
    libgl1) printf 'installed\\tlibgl1\\t1.6.0-1\\n' ;;
    *) printf 'installed\\t%s\\t7:5.1\\n' "$name" ;;
  esac
done
"""


@pytest.fixture
def debian(machine):
    machine.stub("apt-get", APT)
    machine.stub("sudo", 'shift; exec "$@"\n')
    machine.stub("dpkg-query", DPKG)
    return machine


def test_system_packages(debian, small):
    lock = small(nodes=[], packages=[{"name": "ffmpeg"}, {"name": "libgl1", "version": "1.6.0-1"}])
    ended = debian.run(lock)
    assert ended.code == 0, ended.said
    *_, last = (debian.stubs / "apt").read_text().splitlines()
    assert last.endswith("install --yes --no-install-recommends -- ffmpeg libgl1=1.6.0-1")
    # They are there: apt-get is not asked.
    (debian.stubs / "apt").unlink()
    assert debian.run(lock).code == 0
    assert not (debian.stubs / "apt").exists()
    # Another container: they come from the files on the volume.
    (debian.stubs / "installed").unlink()
    assert debian.run(lock).code == 0
    (only,) = (debian.stubs / "apt").read_text().splitlines()
    assert "--no-download" in only
    assert str(debian.workspace) in only


def test_a_package_in_another_version(debian, small):
    lock = small(nodes=[], packages=[{"name": "libgl1", "version": "9"}])
    ended = debian.run(lock)
    assert ended.code == 8
    assert "not installed: libgl1=9" in ended.said


# Options ----------------------------------------------------------------------------------------

WRONG = [
    ["--what"],
    ["--jobs"],
    ["--jobs", "0"],
    ["--jobs", "x[$(touch marker)]"],
    ["--port", "http"],
    ["--port", "65536"],
    ["--headroom", "-1"],
    ["--headroom", "08"],
    ["--installer", "conda"],
    ["--workspace", "relative"],
    ["--workspace", "/"],
    ["--workspace", "/x/../.."],
    ["--exec"],
    ["\x1b[2J"],
]


@pytest.mark.parametrize(
    "options", WRONG, ids=lambda options: " ".join(options).replace("\x1b", "ESC")
)
def test_wrong_options(options, machine, small):
    ended = machine.run(small(), "bash", *options)
    assert ended.code == 2
    assert ended.said.startswith("error: ")
    assert "\x1b" not in ended.said
    assert not list(machine.home.glob("marker"))
    assert not machine.workspace.exists()


def test_help(machine, small):
    ended = machine.run(small(), "bash", "--help")
    assert ended.code == 0
    for word in ("--dry-run", "Exit codes: 0 done", "HF_TOKEN"):
        assert word in ended.said


def test_the_plan_says_how_much_and_changes_nothing(machine, hosts, small, model, body):
    facts = hosts.put("files.example/one", body(300_000))
    lock = small(models=[model(facts), model({"url": facts["url"]}, "unknown.pt")])
    ended = machine.run(lock, "bash", "--dry-run")
    assert ended.code == 0
    assert "to fetch: 2 files, 292.9 KiB, and 1 of unknown size" in ended.said
    assert "would check out: Pack at" in ended.said
    assert hosts.asked == []
    assert not machine.workspace.exists()
    assert machine.run(lock).code == 0
    ended = machine.run(lock, "bash", "--dry-run")
    assert "to fetch: 0 files, 0 B, and 0 of unknown size" in ended.said
    assert "there: Pack" in ended.said


def test_a_driver_that_is_too_old(machine, small):
    machine.stub(
        "nvidia-smi", 'echo "| NVIDIA-SMI 550.1  Driver Version: 550.1  CUDA Version: 12.4  |"\n'
    )
    lock = small(nodes=[])
    lock.python.cuda = "12.8"
    ended = machine.run(lock)
    assert ended.code == 0
    assert "warning: the lock wants CUDA 12.8, the driver here knows 12.4" in ended.said
    lock.python.cuda = "12.4"
    assert "CUDA" not in machine.run(lock).said


def test_a_program_that_is_not_there(machine, small):
    """With a PATH of nothing but what the script itself starts with."""
    for name in ("bash", "env", "realpath", "dirname"):
        (machine.programs / name).symlink_to(shutil.which(name))
    ended = machine.run(small(), PATH=str(machine.programs))
    assert ended.code == 8
    assert "not installed here: " in ended.said
    assert "curl" in ended.said
