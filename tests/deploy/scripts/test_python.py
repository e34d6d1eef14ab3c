"""Python packages: really installed, by uv and by pip, from a folder of small wheels."""

import base64
import hashlib
import subprocess
import zipfile

import pytest

WHEEL = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(folder, name, version="1.0"):
    """A wheel of one module; returns what a lock says about it."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": WHEEL,
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for file, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": name, "version": version, "hashes": [f"sha256:{digest}"]}


@pytest.fixture
def wheels(machine):
    folder = machine.folder / "wheels"
    folder.mkdir()
    machine.environment |= {
        "UV_FIND_LINKS": str(folder),
        "UV_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_NO_INDEX": "1",
    }
    return folder


def versions(machine, *names, venv="venv"):
    code = f"print(*[__import__(name).VERSION for name in {names!r}])"
    return subprocess.run(
        # No bytecode: Python takes what it compiled within the second for a module's next version.
        [machine.workspace / venv / "bin" / "python", "-B", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def with_packages(small, *requirements, **values):
    python = {"version": small().python.version, "requirements": list(requirements)}
    return small(nodes=[], python={**python, **values})


def test_exact_versions_and_then_nothing(machine, small, wheels):
    one, two = make_wheel(wheels, "one"), make_wheel(wheels, "two", "2.0")
    make_wheel(wheels, "one", "1.5")
    unhashed = {**make_wheel(wheels, "three"), "hashes": []}
    machine.watch("uv")
    lock = with_packages(small, one, two, unhashed)
    ended = machine.run(lock)
    assert ended.code == 0, ended.said
    assert versions(machine, "one", "two", "three") == ["1.0", "2.0", "1.0"]
    assert [call for call in machine.calls if "--require-hashes" in call]
    assert machine.environment["HOME"] not in machine.workspace.parts
    (machine.stubs / "calls").unlink()
    ended = machine.run(lock)
    assert f"Python {lock.python.version}: 1 locked, 0 installed, 1 there already" in ended.said
    assert machine.calls == []
    # One other version: only what changed is installed.
    ended = machine.run(with_packages(small, make_wheel(wheels, "one", "1.5"), two, unhashed))
    assert ended.code == 0, ended.said
    assert versions(machine, "one", "two") == ["1.5", "2.0"]


def test_another_wheel_than_was_locked(machine, small, wheels):
    one = make_wheel(wheels, "one")
    lock = with_packages(small, {**one, "hashes": ["sha256:" + "0" * 64]})
    ended = machine.run(lock)
    assert ended.code == 7, ended.said
    assert "FAILED: Python packages (packages)" in ended.said
    with pytest.raises(subprocess.CalledProcessError):
        versions(machine, "one")


def test_the_name_of_the_environment(machine, small, wheels):
    lock = with_packages(small, make_wheel(wheels, "one")).model_copy(
        update={"environment_name": "my env $(x)"}
    )
    assert machine.run(lock).code == 0
    assert versions(machine, "one", venv="my env $(x)") == ["1.0"]


def test_an_environment_that_broke(machine, small, wheels):
    """The Python under it is gone, as after another image: it is made anew."""
    lock = with_packages(small, make_wheel(wheels, "one"))
    assert machine.run(lock).code == 0
    python = machine.workspace / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    ended = machine.run(lock)
    assert ended.code == 0, ended.said
    assert versions(machine, "one") == ["1.0"]


def test_a_folder_in_the_way(machine, small):
    (machine.workspace / "venv").mkdir(parents=True)
    (machine.workspace / "venv" / "mine").touch()
    ended = machine.run(small(nodes=[]))
    assert ended.code == 7
    assert "is in the way: it is none" in ended.said
    assert (machine.workspace / "venv" / "mine").exists()


def test_pip_where_there_is_no_uv(machine, small, wheels):
    one = make_wheel(wheels, "one")
    lock = with_packages(small, one, {**make_wheel(wheels, "two"), "hashes": []})
    ended = machine.run(lock, "bash", "--installer", "pip")
    assert ended.code == 0, ended.said
    assert versions(machine, "one", "two") == ["1.0", "1.0"]


def test_neither_uv_nor_that_python(machine, small):
    lock = small(nodes=[], python={"version": "3.99"})
    ended = machine.run(lock, "bash", "--installer", "pip")
    assert ended.code == 7
    assert "neither uv nor Python 3.99 is here" in ended.said


def test_a_variable_in_an_address_is_not_expanded(machine, small, wheels, tokens):
    """pip and uv replace ${NAME} in lists of requirements: an address must not ask for a token."""
    address = "https://files.example/${HF_TOKEN}/%24%7BHF_TOKEN%7D/one-1.0-py3-none-any.whl"
    lock = with_packages(small, {"name": "one", "url": address})
    ended = machine.run(lock, **tokens)
    assert ended.code == 7
    (file,) = (machine.workspace / ".comfynb").glob("requirements-*.txt")
    assert "$" not in file.read_text()


def test_install_scripts(machine, small, tokens):
    """They run once, in their folder, with the deployment's variables, and without tokens."""
    pack = {
        "name": "Pack",
        "folder": "pack",
        "repository": "https://github.com/a/pack",
        "commit": machine.repositories.pack[0],
        "install_script": True,
    }
    lock = small(nodes=[pack], environment={"MY_SETTING": "x y"})
    # uv would fetch pip for it from the index: there is none here.
    real = (machine.programs / "uv").resolve()
    without = 'words=(); for word; do [[ $word == --seed ]] || words+=("$word"); done'
    machine.stub("uv", f'{without}\nexec {real} "${{words[@]}}"\n')
    ended = machine.run(lock, **tokens)
    assert ended.code == 0, ended.said
    report = machine.path("custom_nodes", "pack", "installed.txt")
    told = report.read_text()
    assert "'MY_SETTING'" in told
    assert "'PIP_CONSTRAINT'" in told
    assert "TOKEN" not in told
    report.unlink()
    assert machine.run(lock).code == 0
    assert not report.exists()
    again = lock.model_copy(deep=True)
    again.nodes[0].commit = machine.repositories.pack[1]
    ended = machine.run(again, "bash", "--no-install-scripts")
    assert ended.code == 0
    assert "warning: Pack: its install.py was not run" in ended.said
    assert not report.exists()
