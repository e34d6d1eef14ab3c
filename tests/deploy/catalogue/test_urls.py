import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.catalogue.urls import (
    civitai_ids,
    file_key,
    huggingface_file,
    huggingface_url,
    model_url,
    repository,
)


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/Ada/Pack",
        "https://github.com/ada/pack/",
        "https://GitHub.com/Ada/Pack.git",
        "http://www.github.com/Ada/Pack",
        "github.com/Ada/Pack",
        "git@github.com:Ada/Pack.git",
        "ssh://git@github.com/Ada/Pack.git",
        "git+https://github.com/Ada/Pack.git",
        "git://github.com/Ada/Pack",
        "https://github.com//Ada//Pack//",
        "https://github.com/Ada/Pack?tab=readme#usage",
        "https://github.com/Ada/Pack/wiki/Home",
        "https://github.com/Ada/Pack/blob/main/nodes.py",
        "https://raw.githubusercontent.com/Ada/Pack/main/nodes.py",
        "https://github.com:443/Ada/Pack",
        "  https://github.com/Ada/Pack\n",
    ],
)
def test_one_repository_has_one_key_however_it_is_spelt(text: str) -> None:
    found = repository(text.strip())
    assert found.key == "github.com/ada/pack"
    assert found.url.lower() == "https://github.com/ada/pack"
    assert found.repaired is None


@pytest.mark.parametrize("scheme", ["htps", "ttps", "htttps", "HTPS"])
def test_a_mistyped_scheme_is_repaired_and_said(scheme: str) -> None:
    found = repository(f"{scheme}://github.com/Ada/Pack")
    assert found.url == "https://github.com/Ada/Pack"
    assert scheme.lower() in str(found.repaired)


def test_a_branch_in_the_address_is_kept_where_it_is_certain() -> None:
    assert repository("https://github.com/Ada/Pack/tree/dev").branch == "dev"
    # Either the branch is called dev/x, or x is a folder on the branch dev.
    assert repository("https://github.com/Ada/Pack/tree/dev/x").branch is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("https://gitlab.com/group/sub/Pack/-/tree/main", "gitlab.com/group/sub/pack"),
        ("https://git.example.org/ada/Pack.git", "git.example.org/ada/pack"),
        ("https://gist.githubusercontent.com/ada/0a1b/raw/x/p.py", "gist.github.com/ada/0a1b"),
        ("https://civitai.com/models/12/a-name?modelVersionId=3", "civitai.com/models/12"),
        ("https://git.example.org:8443/ada/Pack", "git.example.org:8443/ada/pack"),
    ],
)
def test_other_places_have_keys_too(text: str, key: str) -> None:
    assert repository(text).key == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Pack",
        "ada/pack",
        "https://github.com/Ada",
        "https://github.com",
        "https://github.com/Ada/..",
        "https://github.com/Ada/%2e%2e/x",
        "https://github.com/Ada/$(touch x)",
        "https://ada:secret@github.com/Ada/Pack",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://github.com/Ada/Pa ck",
        "https://github.com/Ada/Pack\nX: y",
        "https:///Ada/Pack",
        "https://localhost/ada/pack",
        "https://github.com/" + "a" * 3000 + "/x",
    ],
)
def test_what_is_no_repository_is_refused_without_quoting_secrets(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|names)") as caught:
        repository(text)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60), st.sampled_from(["", "https://github.com/", "https://", "git@"]))
def test_a_found_repository_is_found_again_by_its_url(text: str, prefix: str) -> None:
    try:
        found = repository(prefix + text)
    except ValueError:
        return
    again = repository(found.url)
    assert (again.url, again.key) == (found.url, found.key)
    assert found.url.startswith("https://")
    assert found.url.isprintable()


def test_a_file_has_one_key_on_both_of_githubs_hosts() -> None:
    wanted = file_key("https://raw.githubusercontent.com/Ada/Pack/main/Sub/Nodes.py")
    assert file_key("https://github.com/ada/pack/raw/main/Sub/Nodes.py") == wanted
    assert file_key("https://github.com/ada/pack/raw/refs/heads/main/Sub/Nodes.py") == wanted
    assert file_key("https://github.com/ada/pack/raw/main/sub/nodes.py") != wanted


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/o/r/resolve/main/a%20b.safetensors",
        "https://huggingface.co/o/r/blob/main/a%20b.safetensors",
        "https://huggingface.co/o/r/raw/main/a%20b.safetensors",
        "http://hf.co/o/r/resolve/main/a%20b.safetensors?download=true",
        "https://huggingface.co/o/r/resolve/main/a b.safetensors#x",
    ],
)
def test_a_file_at_hugging_face_has_one_url(text: str) -> None:
    found = model_url(text)
    assert found == "https://huggingface.co/o/r/resolve/main/a%20b.safetensors"
    assert huggingface_file(found) == ("o/r", "main", "a b.safetensors")


def test_the_url_of_a_file_at_hugging_face_is_read_as_it_was_written() -> None:
    url = huggingface_url("https://huggingface.co", "o/r", "refs/pr/1", "x/ä b#.bin")
    assert huggingface_file(url) == ("o/r", "refs/pr/1", "x/ä b#.bin")
    assert model_url(url) == url


def test_secrets_leave_a_models_url_and_the_rest_stays() -> None:
    url = "https://Example.org:443/get?fileId=3&token=abc&api_key=d&b=1#part"
    assert model_url(url) == "https://example.org/get?b=1&fileId=3"
    with pytest.raises(ValueError, match="user name"):
        model_url("https://me:pw@example.org/x")


@pytest.mark.parametrize(
    "text",
    ["", "x", "ftp://example.org/x", "https:///x", "https://example.org/../x", "https://[::1/x"],
)
def test_what_is_no_model_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has)"):
        model_url(text)


def test_civitais_ids_come_from_either_url() -> None:
    page, file = "https://civitai.com/models/7/x?modelVersionId=9", None
    assert civitai_ids(file, page) == ("7", "9")
    download = "https://civitai.com/api/download/models/11?type=Model"
    assert civitai_ids(download, "https://civitai.com/models/7") == ("7", "11")
    assert civitai_ids("https://evil.org/models/7", None) == (None, None)
