"""kill -9 at 20 points of each target, then once more: it ends right, nothing is fetched twice."""

import hashlib
import signal as signals
import subprocess
from contextlib import suppress

import psutil
import pytest

from comfynb.deploy.scripts import render

pytestmark = pytest.mark.kill

# What changes something: a run calls these some 60 times.
WATCHED = ("git", "curl", "mv", "sha256sum", "uv", "head", "mkdir", "rm", "mktemp")
POINTS = 16
BYTES = (0, 20_000, 65_536, 99_999)


@pytest.fixture
def lock(machine, hosts, small, model, body):
    files = {
        "one.safetensors": hosts.put("files.example/one", body(100_000), etag='"1"'),
        "two.safetensors": hosts.put("files.example/two", body(40_000)),
    }
    return small(models=[model(facts, name) for name, facts in files.items()])


def is_right(machine, lock):
    assert machine.head() == lock.comfyui.commit
    assert machine.head("custom_nodes", "pack") == lock.nodes[0].commit
    for model in lock.models:
        content = machine.path(model.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == model.sha256
    assert machine.files() == {model.filename for model in lock.models}
    assert not [path for path in machine.path("custom_nodes").iterdir() if path.name != "pack"]
    state = machine.workspace / ".comfynb"
    assert not list(state.glob("run.*"))
    assert not list(state.glob("git-*"))
    assert [path.name for path in machine.home.iterdir()] == [".curlrc"]


def nothing_wrong(machine, lock):
    """Whatever has its final name is complete, however early the end was."""
    for model in lock.models:
        path = machine.path(model.path)
        if path.exists():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256
    for folder in (machine.path(), machine.path("custom_nodes", "pack")):
        if folder.exists():
            assert (folder / ".git").exists()


@pytest.fixture(params=["bash", "runpod", "docker"])
def target(request):
    """What a kill leaves to each: a folder, a volume, the layer before and the caches."""
    return request.param


COUNTED = {}  # how many calls a run of a target has that nobody kills; each is counted once


@pytest.fixture
def calls(target, machine, lock, another_machine):
    if target not in COUNTED:
        another_machine.watch(*WATCHED)
        assert another_machine.run(lock, target, COMFYNB_JOBS="1").code == 0
        COUNTED[target] = len(another_machine.calls)
        machine.hosts.asked.clear()
    return COUNTED[target]


@pytest.mark.parametrize("point", range(POINTS))
def test_at_a_call(point, target, machine, hosts, lock, calls):  # noqa: PLR0917
    """At the call of a program, the points spread over the whole run."""
    assert calls > 2 * POINTS
    machine.watch(*WATCHED)
    number = 1 + point * (calls - 2) // (POINTS - 1)
    ends_right_after(machine.run_killed_at(lock, number, target), target, machine, lock)
    # What was in a pipe when all ended may come again; a file that was whole does not.
    assert hosts.sent <= 140_000 + 100_000


@pytest.mark.parametrize("upto", BYTES)
def test_after_so_many_bytes(upto, target, machine, hosts, lock):
    hosts.files["files.example/one"].plan = [{"stall": upto}]
    ends_right_after(machine.run_killed(lock, hosts.stalling, target), target, machine, lock)


def ends_right_after(step, target, machine, lock):
    """What a kill in that step has left is sound, and the step run again ends as it should."""
    assert step is not None
    machine.hosts.go_on.set()
    nothing_wrong(machine, lock)
    machine.watch_no_more()
    ended = machine.run(lock, target, first=step)
    assert ended.code == 0, ended.said
    is_right(machine, lock)


def test_who_is_left_behind_ends_first(machine, hosts, lock):
    """Only the script is killed: its curl goes on, and the next run waits for it."""
    hosts.files["files.example/one"].plan = [{"stall": 20_000}]
    process = machine.start("bash", machine.write(render_bash(lock)), COMFYNB_JOBS="1")
    assert hosts.stalled.wait(60)
    process.kill()
    process.wait()
    again = machine.start("bash", machine.folder / "bash" / "install.sh")
    while "waiting for what an earlier run left running" not in machine.output.read_text():
        with suppress(subprocess.TimeoutExpired):
            again.wait(0.1)
        assert again.returncode is None
    hosts.go_on.set()
    assert again.wait(100) == 0
    is_right(machine, lock)
    machine.kill(process.pid)


def test_a_download_that_is_killed(machine, hosts, lock):
    """As where memory runs out: the others arrive, the script ends and says so."""
    hosts.files["files.example/one"].plan = [{"stall": 20_000}]
    process = machine.start("bash", machine.write(render_bash(lock)), COMFYNB_JOBS="1")
    assert hosts.stalled.wait(60)
    children = psutil.Process(process.pid).children(recursive=True)
    (curl,) = [child for child in children if child.name() == "curl"]
    curl.parent().kill()
    assert process.wait(100) == 1
    said = machine.output.read_text()
    assert "FAILED: one_file 0: it was killed by signal 9" in said
    assert machine.path(lock.models[1].path).exists()
    machine.kill(process.pid)
    hosts.go_on.set()
    assert machine.run(lock).code == 0
    is_right(machine, lock)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_all_of_it(name, code, machine, hosts, lock):
    hosts.files["files.example/one"].plan = [{"stall": 20_000}]
    # Whoever runs the tests in the background may have SIGINT ignored, and bash cannot trap that.
    program = ["env", "--default-signal=INT", "bash"]
    process = machine.start(*program, machine.write(render_bash(lock)), COMFYNB_JOBS="1")
    assert hosts.stalled.wait(60)
    others = machine.session(process.pid)
    assert {other.name() for other in others} >= {"bash", "curl"}
    process.send_signal(getattr(signals, name))
    assert process.wait(60) == code
    _, alive = psutil.wait_procs(others, timeout=30)
    assert alive == []


def render_bash(lock):
    return render(lock, "bash")


def test_docker_layers_go_on(machine, hosts, lock):
    """A build's cache keeps what a layer that failed had fetched."""
    hosts.files["files.example/one"].plan = [{"cut": 60_000}, {"status": 404}]
    assert machine.run(lock, "docker").code == 4
    ended = machine.run(lock, "docker")
    assert ended.code == 0, ended.said
    is_right(machine, lock)
    assert hosts.sent < 145_000
    assert list((machine.folder / "parts").iterdir()) == []


def test_two_at_once(machine, hosts, lock):
    hosts.files["files.example/one"].plan = [{"stall": 20_000}]
    first = machine.start("bash", machine.write(render_bash(lock)))
    assert hosts.stalled.wait(60)
    machine.stub("flock", '[[ $1 == -w ]] && set -- -w 0 "$3"; exec /usr/bin/flock "$@"\n')
    ended = machine.run(lock)
    assert ended.code == 9
    assert "another run is busy" in ended.said
    hosts.go_on.set()
    assert first.wait(100) == 0
    is_right(machine, lock)
