"""Git: references and single files, and nothing that a repository could do to who asks."""

from typing import Any

import pytest

from comfynb.deploy.lock import Git
from comfynb.errors import AddressRefused, DeploymentError

URL = "https://github.com/a/pack"


async def test_references_are_listed(forge: Any) -> None:
    first = forge.commit("a/pack", {"x": "1"}, "v1.0")
    second = forge.commit("a/pack", {"x": "2"}, "v1.1")
    refs = await forge.git.refs(URL)
    assert (refs.head, refs.branch) == (second, "main")
    assert refs.branches == {"main": second}
    # An annotated tag is another object than the commit that it names.
    assert refs.tags == {"v1.0": first, "v1.1": second}


async def test_files_of_an_older_commit_are_read(forge: Any) -> None:
    first = forge.commit("a/pack", {"requirements.txt": "old\n", "sub/deep.txt": "x"})
    forge.commit("a/pack", {"requirements.txt": "new\n"})
    async with forge.git.checkout(URL, first) as checkout:
        assert await checkout.text("requirements.txt") == "old\n"
        assert await checkout.text("nothing") is None
        assert await checkout.text("sub") is None
        assert checkout.files == ["requirements.txt", "sub"]


async def test_links_are_not_followed(forge: Any) -> None:
    place = forge.root / "a" / "pack"
    forge.commit("a/pack", {"x": "1"})
    (place / "requirements.txt").symlink_to("/etc/passwd")
    commit = forge.commit("a/pack", {})
    async with forge.git.checkout(URL, commit) as checkout:
        assert await checkout.text("requirements.txt") is None


async def test_a_large_file_is_refused(forge: Any) -> None:
    commit = forge.commit("a/pack", {"requirements.txt": "#" * (2**20 + 1)})
    async with forge.git.checkout(URL, commit) as checkout:
        with pytest.raises(DeploymentError, match="larger than 1 MiB"):
            await checkout.text("requirements.txt")


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch /tmp/owned'",
        "--upload-pack=touch /tmp/owned",
        "file:///etc",
        "git://github.com/a/pack",
        "ssh://git@github.com/a/pack",
        "http://github.com/a/pack",
        "git@github.com:a/pack",
        "/etc",
        "https://github.com/a/pa ck",
    ],
)
async def test_only_https_is_asked(url: str) -> None:
    with pytest.raises(DeploymentError, match="only those are cloned"):
        await Git().refs(url)


async def test_names_that_lead_inside_are_refused() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["140.82.121.4", "169.254.169.254"]

    with pytest.raises(AddressRefused, match="not public"):
        await Git(lookup=inside).refs("https://innocent.example/a/pack")


async def test_a_name_of_nobody_is_said() -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(DeploymentError, match="its host is not to be found"):
        await Git(lookup=nowhere).refs("https://nobody.example/a/pack")


async def test_git_is_told_which_address_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def run(arguments: Any, **_: Any) -> Any:
        seen.extend(arguments)
        raise DeploymentError("stopped here")

    async def lookup(host: str, port: int) -> list[str]:
        return ["140.82.121.4"]

    monkeypatch.setattr("comfynb.deploy.lock.git.run_program", run)
    with pytest.raises(DeploymentError, match="stopped here"):
        await Git(lookup=lookup).refs("https://github.com/a/pack")
    assert "http.curloptResolve=github.com:443:140.82.121.4" in seen
    assert "http.followRedirects=false" in seen
    place = seen.index("--")
    assert seen[place + 1] == "https://github.com/a/pack"


async def test_a_repository_that_is_not_there_is_named(forge: Any) -> None:
    with pytest.raises(
        DeploymentError, match=r"'https://github.com/no/where' cannot be asked: git"
    ):
        await forge.git.refs("https://github.com/no/where")
    forge.commit("a/pack", {"x": "1"})
    with pytest.raises(DeploymentError, match="Commit ffffffffffff of"):
        await forge.git.checkout(URL, "f" * 40).__aenter__()


async def test_hooks_and_settings_of_this_user_do_not_count(
    forge: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "owned"
    config = tmp_path / "gitconfig"
    config.write_text(f'[core]\n\tsshCommand = touch {marker}\n\tfsmonitor = "touch {marker}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {marker}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    commit = forge.commit("a/pack", {"x": "1"})
    async with forge.git.checkout(URL, commit) as checkout:
        assert checkout.files == ["x"]
    assert not marker.exists()
