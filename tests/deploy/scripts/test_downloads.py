"""Downloads from hosts that fail in every way: nothing half or wrong gets a final name."""

import os
import re
import subprocess

import pytest

SIZE = 200_000
PLACE = "files.example/one.safetensors"


@pytest.fixture
def facts(hosts, body):
    return hosts.put(PLACE, body(SIZE), etag='"1"')


@pytest.fixture
def fetch(machine, small, model):
    """Run a script of nothing but ComfyUI and one model."""

    def run(facts, *options, environment=None, **values):
        lock = small(nodes=[], models=[model(facts, **values)])
        return machine.run(lock, "bash", *options, **(environment or {}))

    return run


def no_files(machine):
    """Nothing under a final name, and nothing that ComfyUI would take for a model."""
    return machine.files() <= {name for name in machine.files() if name.endswith((".part", ".tag"))}


FAULTS = {
    "cut": [{"cut": 50_000}],
    "cut at once": [{"cut": 0}],
    "cut often": [{"cut": 30_000}] * 6,
    "no ranges": [{"cut": 50_000}, {"no_range": True}],
    "too many requests": [{"status": 429, "headers": {"Retry-After": "7"}}],
    "busy": [{"status": 503}, {"status": 500}, {"status": 502}],
    "a number with a nought": [{"status": 429, "headers": {"Retry-After": "08"}}],
    "redirected": [{"location": "https://cdn.example/elsewhere"}],
    "redirected within the host": [{"location": "/other", "status": 307}],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_arrives_all_the_same(  # noqa: PLR0917
    fault, machine, hosts, facts, fetch, body
):
    hosts.files[PLACE].plan = list(FAULTS[fault])
    hosts.put("cdn.example/elsewhere", body(SIZE))
    hosts.put("files.example/other", body(SIZE))
    ended = fetch(facts)
    assert ended.code == 0, ended.said
    assert machine.path("models/checkpoints/one.safetensors").read_bytes() == body(SIZE)
    assert machine.files() == {"one.safetensors"}
    if fault.startswith("cut"):
        # What had arrived was not sent again; the pipe to the disk may lose what it holds.
        assert hosts.sent < SIZE + 5_000
        assert "range" in hosts.asked[-1].headers or fault == "cut at once"
    if fault == "too many requests":
        assert machine.slept == ["7"]
    if fault == "a number with a nought":
        assert machine.slept == ["8"]
    if fault == "busy":
        assert machine.slept == ["2", "4", "8"]


def test_retry_after_a_date(machine, hosts, facts, fetch):
    late = {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
    hosts.files[PLACE].plan = [{"status": 429, "headers": late}]
    assert fetch(facts).code == 0
    assert machine.slept == ["600"], "never longer than ten minutes"


REFUSALS = {
    401: (4, r"access denied \(401\)"),
    403: (4, r"access denied \(403\)"),
    404: (4, r"it is gone \(404\)"),
    410: (4, r"it is gone \(410\)"),
    418: (4, "the server said 418"),
    429: (4, "the server said 429, 5 times"),
    500: (4, "the server said 500, 5 times"),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_it_does_not_arrive(  # noqa: PLR0917
    status, machine, hosts, small, model, body
):
    """The others arrive; the summary names the one that did not, and the exit code its kind."""
    bad = hosts.put(PLACE, body(SIZE), always={"status": status})
    good = hosts.put("files.example/good.safetensors", body(1000))
    code, words = REFUSALS[status]
    ended = machine.run(small(nodes=[], models=[model(bad), model(good, "good.safetensors")]))
    assert ended.code == code
    assert re.search(f"FAILED: models/checkpoints/one.safetensors: {words}", ended.said)
    assert "files: 2 locked, 1 installed" in ended.said
    assert machine.files() == {"good.safetensors"}


def wrong_bytes(body):
    return bytes([body[0]]) + bytes(reversed(body[1:]))


WRONG = {
    "other bytes": lambda body: wrong_bytes(body),
    "shorter": lambda body: body[:-1],
    "longer": lambda body: body + b"x",
    "endless": lambda body: body * 250,
    "empty": lambda body: b"",
}


ALL = ["bash", "runpod", "docker"]


@pytest.mark.parametrize("target", ALL)
def test_a_wrong_hash_on_every_target(  # noqa: PLR0917
    target, machine, hosts, facts, small, model, body
):
    hosts.files[PLACE].body = wrong_bytes(body(SIZE))
    ended = machine.run(small(nodes=[], models=[model(facts)]), target)
    assert ended.code == 5, ended.said
    assert "its SHA-256 is" in ended.said
    assert machine.files() == set()
    assert not list(machine.folder.glob("parts/*"))


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_content(  # noqa: PLR0917
    wrong, machine, hosts, facts, fetch, body
):
    hosts.files[PLACE].body = WRONG[wrong](body(SIZE))
    ended = fetch(facts)
    assert ended.code == 5, ended.said
    assert "the lock says" in ended.said
    assert machine.files() == set(), "no part that a later run would build upon"
    # Buffers of the two ends hold some megabytes.
    assert hosts.sent < 100 * SIZE, "what is too long is not fetched to its end"


def test_two_halves_of_two_files(machine, hosts, facts, fetch, body):
    """The part of an earlier file is noticed by the hash, and all is fetched again."""
    hosts.files[PLACE].plan = [{"cut": 80_000}, *[{"status": 404}] * 1]
    assert fetch(facts).code == 4
    (part,) = machine.path("models/checkpoints").glob(".comfynb-*.part")
    part.write_bytes(b"another file" + part.read_bytes()[12:])
    ended = fetch(facts)
    assert ended.code == 0, ended.said
    assert machine.path("models/checkpoints/one.safetensors").read_bytes() == body(SIZE)


def test_a_web_page_instead(machine, hosts, facts, fetch):
    hosts.files[PLACE].always = {"headers": {"Content-Type": "text/html; charset=utf-8"}}
    ended = fetch(facts)
    assert ended.code == 4
    assert "a web page came instead" in ended.said
    assert machine.files() == set()


@pytest.mark.parametrize(
    "location",
    [
        "http://files.example/x",
        "ftp://files.example/x",
        "file:///etc/passwd",
        "https://u:p@files.example/x",
        "",
    ],
)
def test_a_redirect_to_what_is_not_https(location, machine, hosts, facts, fetch):
    hosts.files[PLACE].always = {"location": location}
    ended = fetch(facts)
    assert ended.code == 4
    assert "not https" in ended.said
    assert machine.files() == set()
    assert {asked.host for asked in hosts.asked} == {"files.example"}


def test_redirects_for_ever(machine, hosts, facts, fetch):
    hosts.files[PLACE].always = {"location": f"https://{PLACE}"}
    ended = fetch(facts)
    assert ended.code == 4
    assert "more than 5 redirects" in ended.said
    assert len(hosts.asked) == 6


def test_a_certificate_of_nobody(machine, facts, fetch):
    ended = fetch(facts, environment={"CURL_CA_BUNDLE": "/dev/null"})
    assert ended.code == 4
    assert machine.files() == set()


# Without hash or size ---------------------------------------------------------------------------


def unknown(facts):
    return {"url": facts["url"]}


def test_nothing_is_known_of_it(machine, hosts, facts, fetch, body):
    hosts.files[PLACE].plan = [{"cut": 60_000}]
    assert fetch(unknown(facts)).code == 0
    assert machine.path("models/checkpoints/one.safetensors").read_bytes() == body(SIZE)
    assert hosts.asked[-1].headers["if-range"] == '"1"'
    hosts.asked.clear()
    assert fetch(unknown(facts)).code == 0
    assert hosts.asked == []


def test_it_changed_meanwhile(machine, hosts, facts, fetch, body):
    """The server's own mark tells: not two halves of two files."""
    hosts.files[PLACE].plan = [{"cut": 60_000}, {"status": 404}]
    assert fetch(unknown(facts)).code == 4
    other = body(SIZE + 7)
    hosts.put(PLACE, other, etag='"2"')
    assert fetch(unknown(facts)).code == 0
    assert machine.path("models/checkpoints/one.safetensors").read_bytes() == other


def test_no_safetensors_file(machine, hosts, fetch):
    facts = hosts.put(PLACE, b"<?xml version='1.0'?><Error>AccessDenied</Error>")
    ended = fetch(unknown(facts))
    assert ended.code == 5
    assert "no safetensors file" in ended.said
    assert machine.files() == set()


# What is there already --------------------------------------------------------------------------


def put_there(machine, content, name="one.safetensors"):
    assert machine.path("models/checkpoints").is_dir()
    machine.path("models/checkpoints", name).write_bytes(content)


def test_a_file_that_somebody_put_there(  # noqa: PLR0917
    machine, hosts, facts, small, fetch, body
):
    assert machine.run(small(nodes=[])).code == 0
    machine.path("models/checkpoints").mkdir(parents=True)
    put_there(machine, body(SIZE))
    ended = fetch(facts)
    assert ended.code == 0, ended.said
    assert "1 there already" in ended.said
    assert hosts.asked == []


def test_another_file_of_that_name(  # noqa: PLR0917
    machine, hosts, facts, small, fetch, body
):
    """It is not ours: it stays, and the script says so."""
    assert machine.run(small(nodes=[])).code == 0
    machine.path("models/checkpoints").mkdir(parents=True)
    put_there(machine, b"precious")
    ended = fetch(facts, "--dry-run")
    assert "would fail: models/checkpoints/one.safetensors: the file that is" in ended.said
    ended = fetch(facts)
    assert ended.code == 5
    assert "move it away, or run with --replace" in ended.said
    assert machine.path("models/checkpoints/one.safetensors").read_bytes() == b"precious"
    ended = fetch(facts, "--replace")
    assert ended.code == 0, ended.said
    assert machine.path("models/checkpoints/one.safetensors").read_bytes() == body(SIZE)


def test_what_was_damaged_is_mended(machine, hosts, facts, fetch, body):
    assert fetch(facts).code == 0
    put_there(machine, b"half")
    assert fetch(facts).code == 0
    final = machine.path("models/checkpoints/one.safetensors")
    assert final.read_bytes() == body(SIZE)
    # The same size and time, and other bytes: only --verify looks.
    before = final.stat()
    final.write_bytes(wrong_bytes(body(SIZE)))
    os.utime(final, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetch(facts, "--verify").code == 0
    assert final.read_bytes() == body(SIZE)


def test_a_new_file_for_the_same_name(machine, hosts, facts, fetch, body):
    """Another lock: the new file replaces ours when it is right, not before."""
    assert fetch(facts).code == 0
    newer = hosts.put("files.example/newer", body(SIZE + 1))
    hosts.files["files.example/newer"].plan = [{"status": 404}]
    assert "to fetch: 1 files, 195.3 KiB" in fetch(newer, "--dry-run").said
    assert fetch(newer).code == 4
    final = machine.path("models/checkpoints/one.safetensors")
    assert final.read_bytes() == body(SIZE)
    assert fetch(newer).code == 0
    assert final.read_bytes() == body(SIZE + 1)
    assert machine.files() == {"one.safetensors"}


def test_http_only_if_asked_for(machine, facts, fetch):
    ended = fetch({**facts, "url": facts["url"].replace("https", "http")})
    assert ended.code == 4
    assert "--allow-http" in ended.said


# Disk -------------------------------------------------------------------------------------------


def test_not_enough_disk(machine, hosts, facts, fetch):
    """Said before anything is fetched or made."""
    machine.stub("df", "echo Avail; echo ' 195'\n")
    ended = fetch(facts)
    assert ended.code == 3
    assert "not enough disk" in ended.said
    assert hosts.asked == []
    assert not machine.workspace.exists()
    ended = fetch(facts, "--dry-run")
    assert ended.code == 0
    assert "would fail: not enough disk" in ended.said


@pytest.mark.parametrize("target", ALL)
def test_the_disk_fills_up(  # noqa: PLR0917
    target, machine, hosts, facts, small, model, body
):
    """The limit on a file's size stands in for a disk that lied about its room."""
    lock = small(nodes=[], models=[model(facts)])
    machine.within = ["bash", "-c", 'ulimit -f 100; exec "$@"', "limited"]
    ended = machine.run(lock, target)
    assert ended.code == 3, ended.said
    assert "is the disk or the quota full?" in ended.said
    assert not machine.path("models/checkpoints/one.safetensors").exists()
    machine.within = []
    ended = machine.run(lock, target)
    assert ended.code == 0, ended.said
    assert machine.path("models/checkpoints/one.safetensors").read_bytes() == body(SIZE)


@pytest.fixture
def disk(machine):
    """Makes disks that are really small."""
    made = []

    def make(folder, size):
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here: a disk that is really full is NOT TESTED")
        made.append(folder)

    yield make
    for folder in made:
        subprocess.run(["umount", folder], check=True)


def test_nothing_can_be_written_any_more(machine, facts, small, fetch, disk):
    """Not even what failed: the script fails all the same, and nothing has a final name."""
    room = 20 * 2**20
    disk(machine.workspace, room)
    assert machine.run(small(nodes=[])).code == 0
    free = os.statvfs(machine.workspace)
    (machine.workspace / "filler").write_bytes(bytes(free.f_bavail * free.f_bsize - SIZE // 2))
    ended = fetch({"url": facts["url"]}, "--headroom", "0")
    assert ended.code == 3, ended.said
    assert "FAILED: " in ended.said
    assert not machine.path("models/checkpoints/one.safetensors").exists()
    (machine.workspace / "filler").unlink()
    assert fetch({"url": facts["url"]}).code == 0


def test_a_small_disk_is_full(machine, hosts, facts, fetch, disk):
    """A file whose size nobody knew beforehand, on a disk for models only."""
    models = machine.folder / "disk"
    disk(models, "128k")
    ended = fetch({"url": facts["url"]}, "--models", str(models))
    assert ended.code == 3, ended.said
    assert "is the disk or the quota full?" in ended.said
    assert not (models / "checkpoints" / "one.safetensors").exists()


# Tokens -----------------------------------------------------------------------------------------


def test_a_token_that_is_missing(machine, hosts, facts, fetch):
    ended = fetch(facts, auth="CIVITAI")
    assert ended.code == 10
    assert "models/checkpoints/one.safetensors needs CIVITAI_TOKEN" in ended.said
    assert hosts.asked == []
    assert not machine.workspace.exists()


def test_a_token_goes_nowhere_else(machine, hosts, facts, fetch, tokens):
    """The lock says that it is CivitAI's, and the address is not: it arrives without a token."""
    assert fetch(facts, auth="CIVITAI", environment=tokens).code == 0
    assert not any("authorization" in asked.headers for asked in hosts.asked)


def test_a_token_that_nobody_knew_was_needed(machine, hosts, fetch, body, tokens):
    token = tokens["HF_TOKEN"]
    facts = hosts.put("huggingface.co/one", body(1000), always={"token": token})
    ended = fetch(facts)
    assert ended.code == 4
    assert "set HF_TOKEN" in ended.said
    assert fetch(facts, environment=tokens).code == 0
    facts = hosts.put("huggingface.co/two", body(1001), always={"token": "another"})
    ended = fetch(facts, environment=tokens, filename="two.safetensors")
    assert ended.code == 4
    assert "the token is wrong" in ended.said


@pytest.mark.parametrize("token", ['x"\nurl = "https://evil.example', "a b", "é"])
def test_a_token_that_is_none(token, machine, hosts, facts, fetch):
    ended = fetch(facts, environment={"HF_TOKEN": token})
    assert ended.code == 10
    assert token not in ended.said
