"""Bad input: one clear sentence that names the culprit, and nothing half-written."""

import http.server
import json
import threading

import pytest

from comfynb.errors import (
    AuthenticationRequired,
    BackendUnreachable,
    ComfynbError,
    InvalidValue,
    NotAWorkflow,
    NotComfyUI,
    NotFound,
    UnknownNodeClass,
    UsageError,
)
from comfynb.sandbox import Sandbox

TABLES = (
    "backends",
    "workflows",
    "workflow_versions",
    "jobs",
    "node_executions",
    "prompts",
    "output_files",
)


@pytest.fixture
def unchanged(wb):
    """What is refused leaves no trace in the store."""

    def counts():
        return {table: wb.sql(f"select count(*) from {table}").rows[0][0] for table in TABLES}

    wb.check_backends().wait()
    before = counts()
    yield
    assert counts() == before


def one_sentence(error, *names):
    text = str(error.value)
    assert isinstance(error.value, ComfynbError)
    for name in names:
        assert str(name) in text, text
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 400
    # What a notebook cell shows is the sentence and no traceback.
    (shown,) = error.value._render_traceback_()
    assert shown == f"{type(error.value).__name__}: {text}"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"{ not json", "JSON"),
        (b"[1, 2, 3]", "list"),
        (b'{"a": 1}', "no ComfyUI workflow"),
        (b"<html><body>Sign in</body></html>", "HTML"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xfe\x00\x01", "broken.json"),
    ],
)
def test_a_file_that_holds_no_workflow(wb, tmp_path, unchanged, content, named):
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    with pytest.raises(NotAWorkflow) as error:
        wb.workflows.load(file)
    one_sentence(error, "broken.json", named)


def test_a_workflow_file_that_is_not_there(wb, portrait, unchanged):
    with pytest.raises(NotAWorkflow) as error:
        wb.workflows.load("portrat.json")
    one_sentence(error, "portrat.json", "portrait.json")


def test_a_node_class_that_no_backend_has(wb, unchanged):
    wf = wb.workflows.load({"1": {"class_type": "NoSuchNode", "inputs": {}}}, name="alien")
    with pytest.raises(UnknownNodeClass) as error:
        wf.run()
    one_sentence(error, "NoSuchNode", "one")


def test_a_model_that_the_backend_lacks(wb, portrait, unchanged):
    prompt = dict(wb.workflows.load(portrait).api_json)
    loader = next(key for key, node in prompt.items() if node["class_type"] == "LabLoader")
    prompt[loader] = {**prompt[loader], "inputs": {"name": "dream.safetensors", "seconds": 0}}
    with pytest.raises(InvalidValue) as error:
        wb.workflows.load(prompt, name="dream").run()
    one_sentence(error, "dream.safetensors", "small.safetensors")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"steps": "many"}, ["Steps", "many", "1 to 10000"]),
        ({"steps": 0}, ["Steps", "0", "1 to 10000"]),
        ({"steps": 2.5}, ["Steps", "2.5", "whole number"]),
        ({"steps": None}, ["Steps"]),
        ({"seed": 2**64}, ["Seed", 2**64]),
        ({"seed": -1}, ["Seed", "-1"]),
        ({"name": "smal.safetensors"}, ["Name", "smal.safetensors", "small.safetensors"]),
        ({"seconds_per_step": "fast"}, ["Seconds per step", "fast"]),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range(wb, portrait, unchanged, values, names):
    with pytest.raises(InvalidValue) as error:
        wb.workflows.load(portrait).run(values)
    one_sentence(error, *names)


def test_a_parameter_that_does_not_exist(wb, portrait, unchanged):
    with pytest.raises(NotFound) as error:
        wb.workflows.load(portrait).run(sed=3)
    one_sentence(error, "sed", "seed")


def test_an_input_file_that_is_not_there(wb, unchanged):
    wf = wb.workflows.load(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "gradient.png"}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        },
        name="load",
    )
    with pytest.raises(InvalidValue) as error:
        wf.run(image="gone.png")
    one_sentence(error, "gone.png")


def test_one_wrong_point_among_many_starts_none(wb, portrait, unchanged):
    with pytest.raises(InvalidValue):
        wb.workflows.load(portrait).run_many([{"seed": 1}, {"seed": "x"}, {"seed": 3}])


def test_an_unknown_backend(wb, portrait, unchanged):
    with pytest.raises(NotFound) as error:
        wb.workflows.load(portrait).run(backend="two")
    one_sentence(error, "two", "one")


def test_a_url_where_nobody_answers(wb, unchanged):
    with pytest.raises(BackendUnreachable) as error:
        wb.backends.add("http://127.0.0.1:9")
    one_sentence(error, "127.0.0.1:9")


@pytest.mark.parametrize(
    "url", ["", "gpu 1", "ftp://gpu1", "http://gpu1:99999", "http://[::1", "file:///etc/passwd"]
)
def test_what_is_no_address(wb, unchanged, url):
    with pytest.raises(InvalidValue) as error:
        wb.backends.add(url)
    one_sentence(error)


class Website(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.body
        self.send_response(200)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>Welcome to nginx</html>"),
        ("application/json", json.dumps({"status": "ok"}).encode()),
    ],
)
def test_a_url_where_somebody_else_answers(wb, unchanged, kind, body):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Website) as server:
        server.kind, server.body = kind, body
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(NotComfyUI) as error:
                wb.backends.add(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
    one_sentence(error, server.server_port)


def test_a_comfyui_that_asks_for_a_password(wb, unchanged):
    with Sandbox(auth="basic:me:s3cr3t") as guarded:
        with pytest.raises(AuthenticationRequired) as error:
            wb.backends.add(guarded.url)
        one_sentence(error, guarded.url.removeprefix("http://"))
        with pytest.raises(AuthenticationRequired) as error:
            wb.backends.add(guarded.url.replace("http://", "http://me:wrong-w0rd@"))
        one_sentence(error)
        assert "wrong-w0rd" not in str(error.value)


def test_running_without_any_backend(tmp_path, portrait):
    from comfynb import Workbench

    with Workbench(tmp_path / "empty.duckdb") as empty:
        wf = empty.workflows.load(portrait)
        with pytest.raises(UsageError) as error:
            wf.run()
        one_sentence(error, "wb.backends.add")


def test_the_form_shows_the_sentence_and_does_not_run(wb, portrait, unchanged):
    form = wb.workflows.load(portrait).form()
    form.set_values({"steps": "many"})
    assert "many" in form.problems["steps"]
    assert "Traceback" not in form.static_html()
