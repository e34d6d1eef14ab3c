"""wb.workflows: a workflow from wherever one lives, and the words when there is none."""

import json
import urllib.request
from urllib.parse import quote

import pytest

from comfynb import Workbench
from comfynb.comfy.credentials import BasicAuth
from comfynb.errors import AuthenticationRequired, NotAWorkflow, NotFound, UsageError
from comfynb.models import ObjectInfoRecord
from comfynb.sandbox import Sandbox
from comfynb.workbench.templates import Templates


def save_there(sandbox, path, content):
    """Save a file of the user's as the front-end does."""
    name = quote(quote(path, safe="") if "%" in path else path, safe="")
    request = urllib.request.Request(
        f"{sandbox.url}/userdata/{name}", data=content.encode(), method="POST"
    )
    urllib.request.urlopen(request, timeout=10).close()


def test_a_file_a_text_and_a_dict_are_told_apart(wb, portrait, tmp_path):
    text = portrait.read_text()
    assert wb.workflows.load(portrait).name == "portrait"
    assert wb.workflows.load(text).source == "The text"
    assert wb.workflows.load(json.loads(text), name="d").name == "d"
    odd = tmp_path / "{not json}.json"
    odd.write_text(text)
    with pytest.raises(NotAWorkflow):
        wb.workflows.load(odd.name)
    assert wb.workflows.load_file(odd.name).name == "{not json}"
    with pytest.raises(NotAWorkflow):
        wb.workflows.load_text("portrait.json")


def test_a_picture_is_loaded_from_a_servers_own_url(wb, sandbox, portrait, quick):
    job = wb.workflows.load(portrait).run(quick(seed=4711)).wait()
    assert job.images.paths
    stored = wb.sql("select filename, subfolder, type from output_files").rows
    filename, subfolder, kind = stored[0]
    url = (
        f"{sandbox.url}/view?filename={quote(filename)}&subfolder={quote(subfolder)}"
        f"&type={kind}&preview=webp%3B90"
    )
    wf = wb.workflows.load(url)
    assert wf.parameters["seed"].default_value == 4711
    assert wf.source == f"{sandbox.url}/view"
    assert wf.name == filename.rpartition(".")[0]


def test_a_url_of_a_backend_is_asked_with_its_credentials(tmp_path):
    auth = BasicAuth("me", "s3cr3t-word")
    with Sandbox(auth="basic:me:s3cr3t-word") as guarded, Workbench(tmp_path / "x.duckdb") as wb:
        url = f"{guarded.url}/userdata/workflows%2Fportrait.json"
        with pytest.raises(NotAWorkflow, match="asks who you are"):
            wb.workflows.load(url)
        wb.backends.add(guarded.url, name="guarded", auth=auth)
        wf = wb.workflows.load(url)
        assert wf.name == "portrait"
        assert "s3cr3t" not in wf.source
        # In the URL itself they do as well, and are not shown.
        wf = wb.workflows.load(url.replace("http://", "http://me:s3cr3t-word@"))
        assert wf.source == url
        assert wb.backends["guarded"].workflows.names()
        wb.backends.add(guarded.url, name="guarded", auth=BasicAuth("me", "wrong"), check=False)
        with pytest.raises(AuthenticationRequired):
            wb.backends["guarded"].workflows.names()


NAMES = [
    "mine.json",
    "sub folder/deeper/grüße & more.json",
    "100% sure.json",
    "50%25.json",
    "plus+and#hash?.json",
]


def test_a_backends_saved_workflows_are_listed_and_loaded(wb, sandbox, portrait):
    for name in NAMES:
        save_there(sandbox, f"workflows/{name}", portrait.read_text())
    save_there(sandbox, "workflows/notes.txt", "no workflow")
    save_there(sandbox, "workflows/broken.json", "[1]")
    saved = wb.backends["one"].workflows
    assert set(NAMES) <= set(saved)
    assert "notes.txt" not in saved.names()
    assert "portrait" in saved
    assert "nothing" not in saved
    for name in NAMES:
        wf = saved[name]
        assert wf.check() == []
        assert wf.name == name.rpartition("/")[2].removesuffix(".json")
    assert saved["sub folder\\deeper\\grüße & more"].source == (
        "sub folder/deeper/grüße & more.json on one"
    )
    assert "mine.json" in repr(saved)
    assert "&amp;" in saved._repr_mimebundle_()["text/html"]
    assert "mine.json" in saved._ipython_key_completions_()
    with pytest.raises(NotFound, match="no saved workflow 'nowhere'"):
        saved["nowhere"]
    with pytest.raises(NotFound):
        saved["../../secret"]
    with pytest.raises(NotAWorkflow):
        saved["broken"]


def test_a_past_prompt_is_loaded_with_the_values_that_it_ran_with(wb, portrait, quick):
    wb.workflows.load(portrait).run(quick(seed=31337)).wait()
    history = wb.backends["one"].history(5)
    assert 1 <= len(history) <= 5
    newest = history[0]
    assert newest.status == "completed"
    wf = history.load(newest.prompt_id)
    assert wf.parameters["seed"].default_value == 31337
    assert newest.prompt_id in wf.source
    assert history.load(newest.prompt_id[:13]).api_json == wf.api_json
    assert newest.prompt_id in repr(history)
    assert "<table" in history._repr_html_()
    assert wb.backends["one"].history(0)[:] == []
    with pytest.raises(NotFound, match="remembers no prompt"):
        history.load("nothing")
    with pytest.raises(NotFound):
        history.load("")


def test_templates_are_searched_and_loaded(wb):
    pytest.importorskip("comfyui_workflow_templates_json")
    templates = wb.workflows.templates
    found = templates.search("flux image")
    assert found
    assert all("flux" in str(one).casefold() for one in found)
    assert found[0].name in repr(found)
    assert "<table" in found._repr_html_()
    assert len(templates.search("no such thing at all")) == 0
    assert len(templates.search()) == len(templates) > 600
    wf = templates.load(found[0].name)
    assert wf.name == found[0].name
    assert wf.source == f"template {found[0].name}"
    assert wf.report is not None
    # Its models are not on the bench, and the table says so.
    assert not wf.check().ok
    with pytest.raises(NotFound, match="did you mean"):
        templates.load(found[0].name[:-2] + "xx")
    with pytest.raises(NotFound):
        templates.load("../index")
    assert "index" not in templates


def test_without_the_package_the_cure_is_named(wb):
    templates = Templates(wb, ["no_such_package_at_all"])
    with pytest.raises(UsageError, match=r"pip install .comfynb\[templates\]"):
        templates.search("flux")


def count_of(sandbox):
    return sandbox.stats()["requests"].get("GET /object_info", 0)


def test_node_classes_are_fetched_once_kept_and_revalidated(tmp_path, portrait):
    """/object_info takes seconds on a loaded server: once per backend, then from the store."""
    with Sandbox() as server:
        with Workbench(tmp_path / "kept.duckdb") as wb:
            wb.backends.add(server.url, name="one")
            wb.workflows.load(portrait).form()
            wb.check_backends().wait(30)
            assert count_of(server) == 1
            wb.workflows.load(portrait, name="another").form()
            wb.workflows.load(portrait).check()
            wb.check_backends().wait(30)
            assert count_of(server) == 1
            (record,) = wb.store.find(ObjectInfoRecord).result()
        # The server is slow now: what is known must not wait for it.
        server.fault("hang", path="/object_info")
        with Workbench(tmp_path / "kept.duckdb") as wb:
            wf = wb.workflows.load(portrait)
            wf.form()
            assert wf.check().ok
            assert record.data == wb.backends["one"].object_info
            server.clear_faults()
        with Workbench(tmp_path / "kept.duckdb") as wb:
            before = count_of(server)
            wb.workflows.load(portrait).form()
            wb.check_backends().wait(30)
            wb.check_backends().wait(30)
            assert count_of(server) == before + 1
