"""Scripts that really run: exact commits and hashes, and a second run that transfers nothing."""

import hashlib

import pytest


@pytest.fixture
def full(machine, hosts, small, model, body):
    """Two models, one of them behind a token and a redirect to another host, and a pack."""
    hosts.put("cdn.example/signed?x=1", body(150_000))
    behind = hosts.put(
        "huggingface.co/a/b/resolve/main/gated.safetensors",
        body(150_000),
        always={
            "token": "hf_" + "S3cr3tOfThisTest" * 3,
            "location": "https://cdn.example/signed?x=1",
        },
    )
    plain = hosts.put("files.example/plain.safetensors", body(300_000))
    return small(
        models=[
            model(behind, "gated.safetensors", auth="HUGGINGFACE"),
            model(plain, "plain name $(x).safetensors", folder="models/loras"),
        ]
    )


@pytest.mark.parametrize("target", ["bash", "runpod", "docker"])
def test_all_of_it_and_then_nothing(target, full, machine, hosts, tokens):
    machine.watch("curl", "git", environments=True)
    ended = machine.run(full, target, *(["--no-start"] if target != "docker" else []), **tokens)
    assert ended.code == 0, ended.said
    assert machine.head() == full.comfyui.commit
    assert machine.head("custom_nodes", "pack") == full.nodes[0].commit
    for model in full.models:
        content = machine.path(model.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == model.sha256
    assert machine.files() == {model.filename for model in full.models}
    assert hosts.sent == sum(model.size for model in full.models) + len(b"moved")
    # The token went to its own host, and nowhere else: no other request, argument, file or word.
    told = [asked for asked in hosts.asked if "authorization" in asked.headers]
    assert {asked.host for asked in told} == {"huggingface.co"}
    assert all(token not in call for call in machine.calls for token in tokens.values())
    told = (machine.stubs / "environments").read_text()
    assert "PATH=" in told
    assert not any(token in told for token in tokens.values())
    for path in machine.workspace.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert not any(token.encode() in path.read_bytes() for token in tokens.values())

    hosts.asked.clear()
    (machine.stubs / "calls").unlink()
    ended = machine.run(full, target, *(["--no-start"] if target != "docker" else []), **tokens)
    assert ended.code == 0, ended.said
    assert hosts.asked == []
    assert not [call for call in machine.calls if "curl" in call or " fetch " in call]
