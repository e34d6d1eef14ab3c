"""``comfynb-agent`` as people start it, with the made-up GPUs in the place of the driver."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from comfynb.sandbox import Sandbox
from comfynb_agent import __version__
from comfynb_agent.cli import main

SECRET = "correct-horse-battery-staple"


def get(url, token=None):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    with opener.open(request, timeout=20) as answer:
        return json.load(answer)


def until(url, condition):
    """Follow the agent's stream until a snapshot meets the condition."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/comfynb/metrics/stream?interval=0.25", timeout=20) as answer:
        for line in answer:
            if line.startswith(b"data: ") and condition(snapshot := json.loads(line[6:])):
                return snapshot
    raise AssertionError("the stream ended")


@contextlib.contextmanager
def agent(*arguments, **environment):
    """Run the agent on a port of the system's choice; yields the first line that it prints."""
    command = [sys.executable, "-m", "comfynb_agent", "--port", "0", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    ) as process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read().decode()
            yield json.loads(line) | {"process": process}
        finally:
            process.terminate()
            process.wait(20)


def test_eight_gpus_through_the_c_interface_alone(library_path, gpu, tmp_path):
    environment = {"LD_LIBRARY_PATH": str(library_path.parent), "FAKE_NVML_GPUS": "8"}
    with agent("--folder", f"models={tmp_path}", "--backend-id", "box", **environment) as ready:
        assert ready["version"] == __version__
        snapshot = get(f"{ready['url']}/comfynb/metrics.json")
        assert snapshot["gpus"] == [gpu(index) for index in range(8)]
        assert snapshot["agent"]["mode"] == "standalone"
        assert snapshot["agent"]["pid"] == ready["process"].pid
        assert snapshot["backend_id"] == "box"
        assert snapshot["disks"][0]["path"] == str(tmp_path)
        ready["process"].send_signal(signal.SIGINT)
        assert ready["process"].wait(20) == 0
    with agent("--gpu", "5", "--gpu", gpu(1)["uuid"], **environment) as ready:
        snapshot = get(f"{ready['url']}/comfynb/metrics.json")
        assert [one["index"] for one in snapshot["gpus"]] == [1, 5]


@pytest.mark.parametrize("version", ["0.3.64", "0.8.0"])
def test_it_polls_the_queue_of_a_comfyui(version):
    with Sandbox(version=version, samples=True) as comfyui:
        prompt = {
            "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0}},
            "2": {
                "class_type": "LabSampler",
                "inputs": {
                    "model": ["1", 0],
                    "width": 16,
                    "height": 16,
                    "seed": 1,
                    "steps": 1000,
                    "seconds_per_step": 1.0,
                    "text": "a",
                },
            },
            "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
        }
        with agent("--comfyui", comfyui.url) as ready:
            url = f"{ready['url']}/comfynb/metrics.json"
            idle = get(url)
            assert (idle["online"], idle["queue_depth"], idle["current_job_id"]) == (True, 0, None)
            for number in range(3):
                body = json.dumps({"prompt": prompt, "prompt_id": f"p-{number}"}).encode()
                urllib.request.urlopen(f"{comfyui.url}/prompt", body, timeout=20).close()
            busy = until(ready["url"], lambda told: told["current_job_id"] and told["queue_depth"])
            assert (busy["queue_depth"], busy["current_job_id"]) == (3, "p-0")
            assert (busy["comfyui"]["running"], busy["comfyui"]["pending"]) == (1, 2)
            assert busy["last_seen"] is not None
            comfyui.kill()
            gone = until(ready["url"], lambda told: not told["online"])
            assert (gone["online"], gone["queue_depth"]) == (False, None)
            assert gone["last_seen"] >= busy["last_seen"]
            assert any("queue" in sentence for sentence in gone["missing"])


def test_listening_wider_asks_for_a_token(capfd, tmp_path):
    assert main(["--host", "0.0.0.0", "--port", "0"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "without a token: set COMFYNB_AGENT_TOKEN, give --token-file" in said.err
    file = tmp_path / "token"
    file.write_text(SECRET)
    with agent("--host", "0.0.0.0", "--token-file", str(file)) as ready:
        url = f"http://127.0.0.1:{ready['port']}/comfynb/metrics.json"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(url)
        assert get(url, SECRET)["schema_version"] == 1
        process = ready["process"]
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert SECRET.encode() not in out + err + json.dumps(ready["url"]).encode()


def test_there_is_no_way_to_give_a_token_on_the_command_line(capsys):
    for arguments in (["--token", SECRET], [f"--token={SECRET}"]):
        with pytest.raises(SystemExit):
            main(arguments)
        said = capsys.readouterr()
        assert "never given on the command line" in said.err
        assert SECRET not in said.err + said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "a port lies between"),
        (["--comfyui", "ftp://x"], "no address of a ComfyUI"),
        (["--token-file", "/nowhere/at/all"], "cannot be read"),
        (["--tls-cert", "/nowhere"], "needs both"),
        (["--host", ""], "give --host an address"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, words, capfd):
    assert main(arguments) == 1
    said = capfd.readouterr().err
    assert words in said
    assert said.startswith("comfynb-agent: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--folder", "nothing"], ["--folder", "=x"], ["--port", "x"]]
)
def test_what_argparse_refuses(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error: argument" in capsys.readouterr().err


def test_a_taken_port_is_named(capfd):
    with agent() as ready:
        assert main(["--port", str(ready["port"])]) == 1
    assert str(ready["port"]) in capfd.readouterr().err


def test_tls(tmp_path):
    import ssl
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with agent("--tls-cert", str(cert_file), "--tls-key", str(key_file)) as ready:
        assert ready["url"].startswith("https://")
        context = ssl.create_default_context(cafile=str(cert_file))
        address = f"https://localhost:{ready['port']}/comfynb/metrics.json"
        with urllib.request.urlopen(address, timeout=20, context=context) as answer:
            assert json.load(answer)["schema_version"] == 1
