"""What looks like a secret is not stored where it would be shared, nor what hijacks a machine."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.service.environment import check_environment, check_no_secrets, looks_secret
from comfynb.errors import InvalidValue

SECRET_NAMES = [
    *("HF_TOKEN", "CIVITAI_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "API_KEY", "apiKey"),
    *("OPENAI_API_KEY", "CIVITAI_API_KEY", "client_secret", "GIT_PASSWD", "private-key", "Token"),
    *("SSH_PRIVATE_KEY", "AUTH_KEY", "accessToken", "GOOGLE_APPLICATION_CREDENTIALS"),
]
HARMLESS_NAMES = [
    *("TOKENIZERS_PARALLELISM", "MAX_TOKEN_LENGTH", "PYTHONUNBUFFERED", "KEYBOARD", "CUDA_HOME"),
    *("HF_HOME", "PRIMARY_KEY", "SECRETARY", "PASSWORDLESS_LOGIN", "HF_HUB_ENABLE_HF_TRANSFER"),
]
SECRET_VALUES = [
    "hf_" + "a" * 34,
    "see ghp_" + "A1" * 18,
    "--token=sk-" + "x" * 24,
    "AKIA" + "A" * 16,
    "-----BEGIN OPENSSH PRIVATE KEY-----",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets(name):
    assert looks_secret(name)
    with pytest.raises(InvalidValue, match=f"'{name}' looks like a secret") as caught:
        check_environment({"A": "1", name: "the-value"})
    assert "the-value" not in str(caught.value)
    with pytest.raises(InvalidValue, match="looks like a secret") as caught:
        check_no_secrets({"x": [1, {name: "the-value"}]})
    assert "the-value" not in str(caught.value)


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_names_of_other_things(name):
    check_environment({name: "1"})
    check_no_secrets({name: "1"})


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_values_that_are_tokens(value):
    with pytest.raises(InvalidValue, match="'A' looks like a secret") as caught:
        check_environment({"A": value})
    assert value not in str(caught.value)
    with pytest.raises(InvalidValue, match="'deep' looks like a secret"):
        check_no_secrets({"deep": ["x", value]})


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "PYTHONPATH", "GIT_SSH_COMMAND"),
        *("GIT_CONFIG_COUNT", "DYLD_INSERT_LIBRARIES", "IFS", "BASH_FUNC_ls%%", "SSL_CERT_FILE"),
    ],
)
def test_what_changes_which_programs_run_is_meant_or_refused(name):
    with pytest.raises(InvalidValue, match="changes which programs"):
        check_environment({name: "x"})
    check_environment({name: "x"}, risky=True)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=4))
def test_no_text_trips_it_up(variables):
    with contextlib.suppress(InvalidValue):
        check_environment(variables)
    with contextlib.suppress(InvalidValue):
        check_no_secrets(variables)


def test_a_name_is_shown_in_one_line():
    with pytest.raises(InvalidValue, match=r"^[^\n\x1b]*$"):
        check_environment({"\n\x1b[2J_TOKEN": "x"})
