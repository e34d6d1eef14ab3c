"""What no script is written for: each with the culprit and the cure in the message."""

import pytest
from pydantic import ValidationError

from comfynb.deploy.scripts import TARGETS, render
from comfynb.errors import DeploymentError
from comfynb.models.lock import Lock


def refused(lock, *words, target="bash"):
    with pytest.raises(DeploymentError) as refusal:
        render(lock, target)
    for word in words:
        assert word in str(refusal.value)
    assert str(refusal.value).endswith(".")


# Refused by the models ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    ["../x", "models/../../x", "/etc", "models//x", "models/.", "~/x", "-x", "a\\b", "C:x"],
)
def test_folders_that_lead_out(folder, lock, model):
    with pytest.raises(ValidationError, match="folder"):
        lock(models=[model({"url": "https://files.example/x"}, folder=folder)])


@pytest.mark.parametrize("name", ["..", "a/b", "-rf", "a\nb", "\u202ex", "a\\b", "a:b", ""])
def test_names_that_are_none(name, lock, model):
    with pytest.raises(ValidationError, match="filename"):
        lock(models=[model({"url": "https://files.example/x"}, name="x", filename=name)])


@pytest.mark.parametrize("target", TARGETS)
def test_a_lock_that_nobody_checked_is_checked(target, lock, model):
    """However it was put together: what the models refuse comes into no script."""
    made = lock(models=[model({"url": "https://files.example/x"})])
    made.models[0].assign_unchecked(folder="../../etc")
    with pytest.raises(ValidationError, match="folder"):
        render(made, target)
    unsafe = Lock.build(**{**dict(lock()), "environment": {"A;touch x": "1"}})
    with pytest.raises(ValidationError, match="environment"):
        render(unsafe, target)


# Environment --------------------------------------------------------------------------------

CODE = ["LD_PRELOAD", "PATH", "BASH_ENV", "PYTHONPATH", "PYTHONSTARTUP", "ENV", "IFS", "PS4"]
CODE += ["GIT_SSH_COMMAND", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS", "COMFYNB_WORKSPACE"]


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("target", TARGETS)
def test_variables_that_run_other_code(name, target, lock):
    refused(lock(environment={name: "x"}), name, "remove it", "allow it by name", target=target)
    assert render(lock(environment={name: "x"}), target, allow=[name])


SECRETS = {
    "HF_TOKEN": "whatever",
    "MY_API_KEY": "x",
    "DB_PASSWORD": "x",
    "AWS_SECRET": "x",
    "INNOCENT": "see hf_" + "a1" * 12,
    "OTHER": "ghp_" + "A1b2" * 9,
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("target", TARGETS)
def test_secrets(name, target, lock):
    refused(lock(environment={name: SECRETS[name]}), name, "secret", "leave its value empty")
    with pytest.raises(DeploymentError) as refusal:
        render(lock(environment={name: SECRETS[name]}), target)
    if len(SECRETS[name]) > 10:
        assert SECRETS[name] not in str(refusal.value)


@pytest.mark.parametrize("value", ["", "{{ RUNPOD_SECRET_my_key }}"])
def test_secrets_by_name_only(value, lock):
    for target in ("bash", "runpod", "docker", "compose"):
        rendered = render(lock(environment={"MY_API_KEY": value}), target)
        assert any("MY_API_KEY" in note for note in rendered.notes)
        assert any("MY_API_KEY" in text for text in rendered.files.values())
        assert not any("MY_API_KEY=" in text for text in rendered.files.values())


def test_variables_that_linux_does_not_take(lock):
    refused(lock(environment={"BIG": "x" * 140_000}), "BIG", "128 KiB")
    refused(lock(environment={f"V{n}": "x" * 100_000 for n in range(12)}), "1 MiB")


# Addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_http(target, lock, model):
    made = lock(models=[model({"url": "http://files.example/x"})])
    if target in {"docker", "compose"}:
        refused(made, "must begin with https://", target=target)
    else:
        render(made, target)
    refused(
        lock(comfyui={"version": "1", "commit": "a" * 40, "repository": "http://x.example/y"}),
        "https",
    )


@pytest.mark.parametrize(
    "host", ["exa$(touch x)mple.org", "a..b", "-x.example", "`x`", "x;y", "[::zz]"]
)
def test_hosts_that_are_none(host, lock, model):
    try:
        made = lock(models=[model({"url": f"https://{host}/x"})])
    except ValidationError:
        return
    refused(made, "no host that can be looked up")


def test_addresses_become_plain(lock, model):
    url = "https://BÜCHER.example:443/ä b$(x)`y`'\"{z}?q=ü&$x#f"
    with pytest.raises(ValidationError, match="without spaces"):
        lock(models=[model({"url": url})])
    rendered = render(lock(models=[model({"url": url.replace(" ", "")})]), "bash")
    assert (
        "https://xn--bcher-kva.example:443/%C3%A4b%24(x)%60y%60\\'%22%7Bz%7D?q=%C3%BC&%24x"
        in (rendered.files["install.sh"])
    )


# Files and folders --------------------------------------------------------------------------


FILES = {
    "another folder": ({"folder": "comfy"}, "none for models"),
    "custom_nodes of nobody": ({"folder": "custom_nodes/other"}, "belongs to no node pack"),
    "custom_nodes itself": ({"folder": "custom_nodes"}, "belongs to no node pack"),
    "code": ({"folder": "custom_nodes/pack", "filename": "__init__.py"}, "program code"),
    "a hook": ({"folder": "custom_nodes/pack/.git/hooks", "filename": "x"}, "folder of git"),
    "our own": ({"filename": ".comfynb-1.part"}, "comfynb"),
    "too long": ({"filename": "é" * 110}, "too long"),
    "too deep": ({"folder": "models/" + "/".join(["x" * 100] * 11)}, "too long"),
    "a space behind": ({"filename": "x.pt "}, "space at an end"),
    "a dot behind": ({"folder": "models/x."}, "dot"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("target", TARGETS)
def test_where_no_model_goes(case, target, lock, model):
    values, word = FILES[case]
    pack = {
        "name": "Pack",
        "folder": "pack",
        "repository": "https://github.com/a/pack",
        "commit": "a" * 40,
    }
    made = lock(
        nodes=[pack], models=[model({"url": "https://files.example/x"}, **{"name": "x", **values})]
    )
    refused(made, word, target=target)


def test_a_file_where_another_has_its_folder(lock, model):
    facts = {"url": "https://files.example/x"}
    models = [model(facts, "x"), model(facts, "y", folder="models/checkpoints/x")]
    refused(lock(models=models), "is a file and the folder of another")


@pytest.mark.parametrize("name", ["ComfyUI", "comfyui", ".comfynb"])
def test_an_environment_on_top_of_others(name, lock):
    refused(lock(environment_name=name), "choose another one")


@pytest.mark.parametrize(
    "workspace", ["", "relative", "/", "~", "~/", "/a/../b", "/a\nb", "~user/x"]
)
def test_workspaces(workspace, lock):
    refused(lock(workspace=workspace), "must be an absolute path")


def test_no_home_in_an_image(lock):
    refused(lock(workspace="~/x"), "an image has no home", target="docker")
    assert render(lock(workspace="~/x"), "bash")
