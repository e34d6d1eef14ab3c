"""Repositories: exactly the locked commit, in place or anew, and nobody's changes lost."""


def checked(machine, lock, *options, **environment):
    ended = machine.run(lock, "bash", *options, **environment)
    assert ended.code == 0, ended.said
    assert machine.head() == lock.comfyui.commit
    return ended


def at(small, machine, number):
    repositories = machine.repositories
    pack = {
        "name": "Pack",
        "folder": "pack",
        "repository": "https://github.com/a/pack",
        "commit": repositories.pack[number],
    }
    return small(
        comfyui={"version": "0.3.64", "commit": repositories.comfyui[number]}, nodes=[pack]
    )


def test_another_commit(machine, small):
    """There and back again; what people put beside it stays."""
    checked(machine, at(small, machine, 0))
    note = machine.path("custom_nodes", "pack", "note.txt")
    note.write_text("mine")
    for number in (1, 0):
        lock = at(small, machine, number)
        ended = checked(machine, lock)
        assert machine.head("custom_nodes", "pack") == lock.nodes[0].commit
        assert "node packs: 1 locked, 1 installed" in ended.said
    assert note.read_text() == "mine"


def test_local_changes_stay(machine, small):
    checked(machine, at(small, machine, 0))
    changed = machine.path("custom_nodes", "pack", "__init__.py")
    changed.write_text("VERSION = 'mine'\n")
    lock = at(small, machine, 1)
    ended = machine.run(lock)
    assert ended.code == 6
    assert "has local changes: commit them, or run with --replace" in ended.said
    assert changed.read_text() == "VERSION = 'mine'\n"
    checked(machine, lock, "--replace")
    assert changed.read_text() == "VERSION = 2\n"


def test_killed_in_the_middle_of_an_update(machine, small):
    """Half of a checkout, and git's own locks, are no local changes."""
    checked(machine, at(small, machine, 0))
    machine.watch("git")
    lock = at(small, machine, 1)
    assert machine.run_killed_at(lock, 1) == 0
    calls = list(machine.calls)
    machine.run(lock)
    checkout = next(n for n, call in enumerate(machine.calls, 1) if " checkout " in call)
    assert calls
    checked(machine, at(small, machine, 0))
    assert machine.run_killed_at(lock, checkout - len(calls)) == 0
    machine.path(".git", "index.lock").touch()
    machine.path("main.py").write_text("half")
    machine.watch_no_more()
    checked(machine, lock)
    assert machine.path("main.py").read_text().endswith("# later\n")


def test_a_folder_in_the_way(machine, small):
    checked(machine, small(nodes=[]))
    machine.path("custom_nodes", "pack").mkdir(parents=True)
    machine.path("custom_nodes", "pack", "mine.py").touch()
    ended = machine.run(at(small, machine, 0))
    assert ended.code == 6
    assert "is in the way and no git repository" in ended.said


def test_a_damaged_repository(machine, small):
    """git does not take the repository around it, which is ComfyUI's."""
    checked(machine, at(small, machine, 0))
    machine.path("custom_nodes", "pack", ".git", "HEAD").unlink()
    ended = machine.run(at(small, machine, 1), "bash", "--replace")
    assert ended.code == 6
    assert "Pack: commit" in ended.said
    assert machine.head() == machine.repositories.comfyui[1]
    assert machine.path("main.py").exists()


def test_a_commit_that_is_nowhere(machine, small):
    lock = small(comfyui={"version": "9", "commit": "0" * 40})
    ended = machine.run(lock)
    assert ended.code == 6
    assert "ComfyUI 9: commit 000000000000 cannot be fetched" in ended.said
    assert not machine.path().exists()


def test_a_pack_that_fails_leaves_no_folder_behind(machine, hosts, small, model, body):
    """A model for its folder does not make the folder in its place."""
    facts = hosts.put("files.example/d.pt", body(100))
    pack = {
        "name": "Gone",
        "folder": "gone",
        "repository": "https://github.com/a/gone",
        "commit": "1" * 40,
    }
    ended = machine.run(
        small(nodes=[pack], models=[model(facts, "d.pt", folder="custom_nodes/gone/ckpts")])
    )
    assert ended.code == 6
    assert "its node pack is not there" in ended.said
    assert not machine.path("custom_nodes", "gone").exists()


def test_hooks_and_helpers_do_not_run(machine, small):
    checked(machine, at(small, machine, 0))
    hook = machine.path("custom_nodes", "pack", ".git", "hooks", "post-checkout")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {machine.folder}/hooked\n")
    hook.chmod(0o755)
    checked(machine, at(small, machine, 1))
    assert not (machine.folder / "hooked").exists()


def test_a_pack_that_links_out_of_its_folder(machine, hosts, small, model, body):
    facts = hosts.put("files.example/d.pt", body(100))
    lock = small(models=[model(facts, "d.pt", folder="custom_nodes/pack/ckpts")])
    checked(machine, small())
    outside = machine.folder / "outside"
    outside.mkdir()
    machine.path("custom_nodes", "pack", "ckpts").symlink_to(outside)
    ended = machine.run(lock)
    assert ended.code == 5
    assert "leads out of custom_nodes" in ended.said
    assert list(outside.iterdir()) == []
