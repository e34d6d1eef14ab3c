"""From a workflow to a lock, a script and a backend, as a person types it."""

import asyncio
import base64
import dataclasses
import http.server
import importlib.util
import json
import os
import subprocess
import threading
from datetime import UTC, datetime

import pytest

from comfynb import Workbench
from comfynb.deploy.catalogue import CORE, NodeEntry
from comfynb.deploy.catalogue.entries import MANAGER
from comfynb.deploy.lock import Git, LockOptions, Uv
from comfynb.deploy.service import ResumeSync
from comfynb.errors import (
    BackendUnreachable,
    DeploymentError,
    InvalidValue,
    NotAllowed,
    NotFound,
    UsageError,
)
from comfynb.models import (
    CustomNode,
    Deployment,
    ModelDownloadStats,
    Role,
    Source,
    SyncJob,
    UrlValidation,
    User,
)

REPOSITORY = "comfyanonymous/ComfyUI"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def own_key(monkeypatch):
    """Ada, with a key for her tokens and none of the environment's."""
    monkeypatch.setenv("COMFYNB_USER", "ada")
    monkeypatch.setenv("COMFYNB_TOKEN_KEY", base64.urlsafe_b64encode(b"k" * 32).decode())
    monkeypatch.setenv("HF_HOME", "/nowhere")
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "CIVITAI_TOKEN", "CIVITAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def forge(tmp_path_factory):
    """ComfyUI's repository, with one release that wants nothing; it is asked as if at GitHub."""
    root = tmp_path_factory.mktemp("forge")
    place = root / REPOSITORY
    place.mkdir(parents=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        **{
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"))
        },
    }

    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=place, env=environment, check=True)

    git("init", "--quiet", "--template=", "--initial-branch=main", ".")
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    (place / "requirements.txt").write_text("")
    git("add", "--all")
    git("commit", "--quiet", "--message", "x")
    git("tag", "--annotate", "--message", "x", "v0.3.64")
    return root


def ours(wb, forge, tmp_path):
    """Make locks from what lies on this machine only."""
    wb.deployments._session.lock_options = LockOptions(
        git=Git(protocols=("https", "file"), rewrite={f"file://{forge}/": "https://github.com/"}),
        uv=Uv(find_links=tmp_path, no_index=True, cache=tmp_path / "uv"),
    )


def shown(thing):
    """Both of its representations; what is hostile is text in them."""
    bundle = thing._repr_mimebundle_()
    assert set(bundle) >= {"text/plain", "text/html"}
    assert "<img" not in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    return bundle["text/plain"]


def test_from_a_workflow_to_a_backend(wb, portrait, forge, tmp_path, sandbox):
    ours(wb, forge, tmp_path)
    wf = wb.workflows.load(portrait)
    wf.check()
    d = wb.deployments.from_workflow(wf, name="portrait", comfyui="0.3.64")
    assert shown(d) == "portrait: 0 node packs, 0 models (0 bytes), 0 packages"
    assert d.settings == {"comfyui_version": "0.3.64"}
    classes = {item.need.class_type for item in d.resolution.classes}
    assert classes == {node["class_type"] for node in wf.api_json.values()}
    assert {name for item in d.resolution.classes for name in item.on} == {"one"}
    d.add_package("ffmpeg", kind="APT")

    with pytest.raises(NotFound, match=r"await d\.lock\(\) makes one"):
        d.script("bash")
    locked = d.lock(reason="first").wait(60)
    assert "portrait is locked: ComfyUI 0.3.64, 0 node packs, 0 models" in shown(locked)
    assert [package.name for package in d.locked.packages] == ["ffmpeg"]
    assert (len(d.locks), d.locks[0].reason) == (1, "first")
    assert d.report.lock == d.locked
    d.remove_package("ffmpeg")
    again = d.lock().wait(60)
    assert "no longer wanted" in shown(again.changes)
    older, newer = d.locks[1].id, d.locks[0].id
    assert len(d.changes(older, newer)) == len(d.changes()) == len(again.changes) == 1
    with pytest.raises(NotFound, match="has no lock 7: it has 2"):
        d.changes(7)

    script = d.script("bash")
    assert script.text.startswith("#!")
    assert "<Script bash:" in shown(script)
    main = d.save(tmp_path / "machine", "bash")
    assert main.read_text() == script.text
    assert os.access(main, os.X_OK)
    assert d.usage.by_target == {"bash": 2}
    stored = wb.store.get(Deployment, d.id).result()
    assert stored.generatedScript == script.text

    made = d.register(sandbox.url, name="one")
    assert made.ok
    assert made.backend.name == "one"
    assert shown(made).startswith("one is a backend now; the workflow would run there")
    with pytest.raises(BackendUnreachable):
        d.register("http://127.0.0.1:9")
    found = wb.deployments["portrait"]
    assert found.id == d.id
    assert found.register(sandbox.url, name="one").ok, "the store knows its workflow"
    assert found.register(sandbox.url, name="one", workflow=portrait).ok


def test_a_workflow_and_what_was_chosen_outlast_the_kernel(tmp_path, monkeypatch):
    place, node = tmp_path / "lab.duckdb", {"properties": {}, "widgets_values": []}
    source = tmp_path / "faces.json"
    source.write_text(
        json.dumps({"nodes": [{"id": 1, "type": "Shared", **node}], "links": [], "version": 0.4})
    )
    with Workbench(place) as wb:
        for name in ("alpha", "beta"):
            wb.catalogue.add_node(f"https://github.com/x/{name}", nodeClasses=["Shared"])
        d = wb.deployments.from_workflow(source)
        assert [item.need.class_type for item in d.resolution.ambiguous] == ["Shared"]
        d.resolve(choices={"Shared": "https://github.com/x/beta"})
        assert ([one.name for one in d.nodes], d.left_out) == (["beta"], [])
        assert d.resolve().complete, "what was decided holds"
        d.publish()
    source.unlink()
    with Workbench(place) as wb:
        d = wb.deployments["faces"]
        assert d.resolution is None
        assert d.workflow.name == "faces"
        d.remove_node("beta")
        assert d.resolve().complete
        assert [one.name for one in d.nodes] == ["beta"]
        assert wb.deployments["faces"].resolution is d.resolution
        assert d.clone("copy").workflow.workflow == d.workflow.workflow
        with pytest.raises(UsageError, match="new was not made from a workflow"):
            wb.deployments.new("new").resolve()
    with Workbench(place, user="bob") as wb:
        assert wb.deployments["faces"].workflow is None


def test_a_prompt_without_a_backend(tmp_path):
    prompt = {
        "1": {"class_type": "KSampler", "inputs": {}},
        "2": {"class_type": "NobodysClass", "inputs": {}},
    }
    with Workbench(tmp_path / "lab.duckdb") as wb:
        found = wb.deployments.from_workflow(prompt, name="prompt").resolution
        of = {item.need.class_type: item for item in found.classes}
        assert of["NobodysClass"].status == "unknown"
        if importlib.util.find_spec("comfyui_workflow_templates_json") is not None:
            assert of["KSampler"].is_core, "the templates that are installed say so"
        (remark,) = found.remarks
        assert "may be its own" in remark
        assert 'wb.catalogue.sync("manager")' in remark
        # A list of all of them leaves nothing open.
        entry = NodeEntry(
            "ComfyUI",
            url="https://github.com/comfyanonymous/ComfyUI",
            keys=("github.com/comfyanonymous/comfyui",),
            name="ComfyUI",
            installType=CORE,
            nodeClasses=["KSampler"],
        )
        wb.host.wait(wb.catalogue._session.rows.upsert_nodes([entry], source=MANAGER))
        assert wb.deployments["prompt"].resolve().remarks == ()


def test_a_model_is_called_as_its_url_or_its_server_says(wb, monkeypatch):
    names = {
        "/get/1": 'attachment; filename="from server.safetensors"',
        "/get/2": "attachment; filename*=UTF-8''f%C3%BCr.ckpt",
        "/get/3": 'attachment; filename="../../page.html"',
    }

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(404 if self.path == "/get/gone" else 200)
            if self.path in names:
                self.send_header("Content-Disposition", names[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *_):
            pass

    add = wb.catalogue.add_model
    made = add("https://example.org/a/style.v2.safetensors?download=true", type="lora")
    assert (made.filename, made.name) == ("style.v2.safetensors", "style.v2")
    hub = add("https://huggingface.co/ada/faces/blob/main/face.safetensors", type="LORA")
    assert (hub.source, hub.sourceId) == (Source.HUGGINGFACE, "ada/faces")
    own = add("https://huggingface.co/ada/x/resolve/main/x.ckpt", type="LORA", source="DIRECT")
    assert (own.source, own.sourceId) == (Source.DIRECT, None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        with pytest.raises(InvalidValue, match=r"only https is asked.*: give filename="):
            add(f"http://{host}/get/1", type="LORA")
        monkeypatch.setenv("COMFYNB_ALLOW", host)
        assert add(f"http://{host}/get/1", type="LORA").filename == "from server.safetensors"
        for path in ("/get/2", "/get/3"):
            with pytest.raises(InvalidValue, match="is no name of a model's file"):
                add(f"http://{host}{path}", type="LORA")
        with pytest.raises(InvalidValue, match=r"answered 404.*give filename="):
            add(f"http://{host}/get/gone", type="LORA")
        with pytest.raises(InvalidValue, match="does not say what its file is called"):
            add(f"http://{host}/", type="LORA")
        assert add(f"http://{host}/get/3", type="LORA", filename="x.ckpt").filename == "x.ckpt"
        server.shutdown()
    with pytest.raises(UsageError, match="There is no type of models 'lorra': CHECKPOINT"):
        add("https://example.org/b.safetensors", type="lorra")


def test_a_risky_variable_that_was_meant_gets_into_the_lock_and_its_script(wb, forge, tmp_path):
    ours(wb, forge, tmp_path)
    d = wb.deployments.new("risky", comfyui_version="0.3.64")
    with pytest.raises(InvalidValue, match="set it with risky=True"):
        d.set_environment({"PYTHONPATH": "/opt/own"})
    d.set_environment({"PYTHONPATH": "/opt/own", "A": "1", "HF_TOKEN": ""}, risky=True)
    assert d.settings == {"comfyui_version": "0.3.64", "allowed_variables": ["PYTHONPATH"]}
    locked = d.lock().wait(60)
    assert locked.lock.allowed_variables == ["PYTHONPATH"]
    assert [risk.subject for risk in d.report.risks if risk.level == "high"] == [
        "Variable PYTHONPATH"
    ]
    assert "/opt/own" in d.script("bash").text
    assert d.preview("docker").target == "docker"
    assert d.usage.by_target == {"bash": 1}
    # Whose meaning it was is not there any more: it is a problem, not a script.
    d.set_settings(allowed_variables=None)
    with pytest.raises(DeploymentError, match="PYTHONPATH would make programs"):
        d.lock().wait(60)
    d.set_environment({"A": "1"})
    again = d.lock().wait(60)
    assert again.lock.allowed_variables == []
    assert "PYTHONPATH to run other code" in shown(again.changes)


async def until(widget, trait, holds):
    """Wait until something holds of a widget that changes."""
    changed = asyncio.Event()
    widget.observe(lambda _: changed.set(), trait)
    while not holds():
        await asyncio.wait_for(changed.wait(), 60)
        changed.clear()


async def test_what_is_shown_follows_what_other_cells_do(tmp_path):
    async with Workbench(tmp_path / "lab.duckdb") as wb:
        d = wb.deployments.new("followed")
        panel = d._panel()
        d.add_package("numpy")
        await until(panel._items._list, "children", lambda: "numpy" in panel.plain())
        wb.deployments["followed"].rename("renamed")
        await until(panel._head, "value", lambda: "renamed" in panel._head.value)
        wb.deployments.delete("renamed")
        await until(panel._message, "value", lambda: "no deployment" in panel._message.value)
        panel.close()
        d._session.followers.tell(d.id)  # nobody is there: nothing happens


async def test_the_same_in_a_notebook(tmp_path, sandbox, portrait, forge):
    async with Workbench(tmp_path / "lab.duckdb") as wb:
        ours(wb, forge, tmp_path)
        d = wb.deployments.from_workflow(portrait, name="portrait", comfyui="0.3.64")
        locked = await d.lock()
        assert locked.lock.comfyui.version == "0.3.64"
        assert d.script("runpod").target == "runpod"
        assert d.register(sandbox.url, name="pod").ok
        sync = wb.catalogue.sync("backend", backend="pod")
        assert await asyncio.wait_for(sync, 60) is sync
        assert sync.view.status.value == "COMPLETED", shown(sync)


def test_a_name_is_taken_once_and_replaced_when_asked(wb, portrait):
    first = wb.deployments.from_workflow(portrait, name="portrait")
    with pytest.raises(UsageError, match="You have a deployment called 'portrait'"):
        wb.deployments.from_workflow(portrait, name="portrait")
    second = wb.deployments.from_workflow(portrait, name="portrait", replace=True)
    assert second.id != first.id
    assert [d.id for d in wb.deployments] == [second.id]
    assert (len(wb.deployments), "portrait" in wb.deployments) == (1, True)
    assert wb.deployments._ipython_key_completions_() == ["portrait"]
    wb.deployments.delete("portrait")
    with pytest.raises(NotFound, match="there are: none yet"):
        wb.deployments["portrait"]
    assert shown(wb.deployments) == "no deployments yet: wb.deployments.from_workflow(wf)"


def test_a_workflow_names_models_and_not_all_of_them_are_believed(wb, tmp_path):
    def node(number, kind, name, url, folder):
        models = [{"name": name, "url": url, "directory": folder}]
        return {
            "id": number,
            "type": kind,
            "pos": [0, 0],
            "size": [1, 1],
            "flags": {},
            "order": number,
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "properties": {"models": models},
            "widgets_values": [name],
        }

    good = "https://huggingface.co/a/b/resolve/main/good.safetensors"
    nodes = [
        node(1, "CheckpointLoaderSimple", "good.safetensors", good, "checkpoints"),
        node(2, "VAELoader", "bad.safetensors", "http://example.org/bad.safetensors", "vae"),
    ]
    workflow = {"nodes": nodes, "links": [], "version": 0.4, "last_node_id": 2, "last_link_id": 0}
    d = wb.deployments.from_workflow(workflow, name="two")
    assert [(one.filename, one.isActive, one.isVerified) for one in d.models] == [
        ("good.safetensors", False, False)
    ]
    assert len(wb.catalogue.models("good")) == 0, "nobody has looked at it yet"
    (model,) = d.models
    wb.catalogue.deactivate(model, active=True)
    assert [one.id for one in wb.catalogue.models("good")] == [model.id]
    assert wb.catalogue.model("good.safetensors").id == model.id
    assert wb.catalogue.verify(model).isVerified
    assert wb.catalogue.edit(model, baseModel="SDXL").baseModel == "SDXL"
    assert d.resolve() is d.resolution
    stats = ModelDownloadStats(modelId=model.id, downloadCount=3)
    wb.store.put(stats).result()
    assert [(one.model.id, one.count) for one in wb.catalogue.downloads.rows] == [(model.id, 3)]
    assert "good.safetensors" in shown(wb.catalogue.downloads)
    assert "good.safetensors" in shown(d)


def test_deployments_from_scratch(wb, tmp_path):
    d = wb.deployments.new(HOSTILE, description=HOSTILE, cuda_version="12.8")
    node = wb.catalogue.add_node("https://github.com/example/pack", name=HOSTILE)
    assert isinstance(node, CustomNode)
    model = wb.catalogue.add_model(
        "https://example.org/m.safetensors", name=HOSTILE, type="LORA", filename="m.safetensors"
    )
    d.add_node("https://github.com/example/pack").add_model("m.safetensors", folder="models/loras")
    d.add_package("numpy", version=">=2").set_environment({"A": HOSTILE})
    d.set_settings(python_version="3.12").enable_node(node, False).enable_model(model, False)
    text = shown(d)
    assert "left out" in text
    assert "models/loras/m.safetensors" in text
    assert shown(wb.deployments).count(HOSTILE) == 1
    assert HOSTILE in shown(wb.catalogue.models())
    assert d.settings == {"cuda_version": "12.8", "python_version": "3.12"}
    assert d.set_settings(cuda_version=None).settings == {"python_version": "3.12"}
    with pytest.raises(InvalidValue, match="'HF_TOKEN' looks like a secret"):
        d.set_environment({"HF_TOKEN": "x"})
    with pytest.raises(NotFound, match="has nothing called 'other'"):
        d.remove_node("other")
    clone = d.clone("copy")
    d.remove_node(node).remove_model(HOSTILE).remove_package("numpy")
    assert (d.nodes, d.models, d.packages) == ([], [], [])
    assert (len(clone.nodes), len(clone.models), clone.environment) == (1, 1, {"A": HOSTILE})
    path = clone.rename("other").describe("x").publish().export(tmp_path / "b.json")
    assert json.loads(path.read_text())["name"] == "other"
    back = wb.deployments.import_bundle(path, name="back")
    assert [one.id for one in back.nodes] == [node.id]
    assert [d.name for d in wb.deployments.templates()] == []
    back.make_template("faces")
    assert [d.name for d in wb.deployments.templates()] == ["back"]
    with pytest.raises(UsageError, match="cannot be read"):
        wb.deployments.import_bundle(tmp_path / "missing.json")


def test_roles_hold_in_the_notebook_too(tmp_path, monkeypatch):
    place = tmp_path / "lab.duckdb"
    with Workbench(place, user="ada@example.org") as wb:
        assert shown(wb.people).startswith("You are ada@example.org, ADMIN")
        wb.deployments.new("hers")
        wb.deployments.new("shown").publish()
    with Workbench(place, user="bob") as wb:
        assert shown(wb.people).startswith("You are bob@localhost, USER")
        assert wb.deployments._ipython_key_completions_() == ["shown"]
        with pytest.raises(NotAllowed, match="Start sync is for CURATOR or ADMIN"):
            wb.catalogue.sync("manager", place=str(tmp_path))
        with pytest.raises(NotAllowed, match="belongs to somebody else: clone it"):
            wb.deployments["shown"].rename("x")
        assert wb.deployments["shown"].clone().owner == "bob"
        with pytest.raises(NotAllowed, match="List people is for ADMIN"):
            wb.people.set_role("bob@localhost", "ADMIN")
    with Workbench(place, user="ada@example.org") as wb:
        assert wb.people.set_role("bob@localhost", "CURATOR").role is Role.CURATOR
        with pytest.raises(UsageError, match="is the only ADMIN"):
            wb.people.deactivate("ada@example.org")
        wb.people.deactivate("bob")
        assert "deactivated" in shown(wb.people)
        assert wb.people._ipython_key_completions_() == ["ada@example.org", "bob@localhost"]
    with Workbench(place, user="bob") as wb, pytest.raises(NotAllowed, match="deactivated"):
        wb.deployments.new("x")
    with Workbench(place, user="ada@example.org") as wb:
        assert wb.people.activate("bob").isActive
        assert len(wb.people) == 2


def test_a_workbench_that_makes_no_deployment_asks_for_nobody(tmp_path):
    with Workbench(tmp_path / "lab.duckdb") as wb:
        assert len(wb.jobs) == 0
        assert wb.store.count(User).result() == 0


def test_tokens_are_written_and_never_shown(wb, monkeypatch):
    token = "secret-0123456789abcdef"
    assert shown(wb.tokens) == 'no tokens yet: wb.tokens.add("huggingface")'
    monkeypatch.setattr("getpass.getpass", lambda prompt: token)
    info = wb.tokens.add("huggingface", name="mine")
    texts = [repr(info), shown(wb.tokens), wb.tokens._repr_html_(), repr(wb.tokens.list)]
    assert "cdef" in shown(wb.tokens)
    assert all(token not in text for text in texts)
    assert token not in str(list(wb.store.sql("select * from api_tokens").result(30).rows))
    wb.tokens.replace("mine", "another-0123456789")
    wb.tokens.use("mine", False)
    assert "left aside" in shown(wb.tokens)
    assert wb.tokens.rotate().wait(60).rows == 1
    with pytest.raises(InvalidValue, match="paste all of it") as caught:
        wb.tokens.add("civitai", "short")
    assert "short" not in str(caught.value)
    with pytest.raises(UsageError, match="tokens for civitai, huggingface"):
        wb.tokens.add("github", token)
    with pytest.raises(NotFound, match="no token called 'yours'"):
        wb.tokens.remove("yours")
    wb.tokens.remove("mine")
    assert wb.tokens.list == []


def test_a_lost_key_says_so_and_loses_nothing(wb, monkeypatch):
    wb.tokens.add("civitai", "secret-0123456789", name="mine")
    kept = os.environ["COMFYNB_TOKEN_KEY"]
    other = base64.urlsafe_b64encode(b"o" * 32).decode()
    monkeypatch.setenv("COMFYNB_TOKEN_KEY", other)
    problem = wb.tokens.list[0].problem
    assert problem
    assert "mine" in shown(wb.tokens)
    monkeypatch.setenv("COMFYNB_TOKEN_KEY", kept)
    assert wb.tokens.list[0].problem is None


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("manager", {"channel": "legacy"}),
        ("registry", {"since": datetime(2026, 1, 1, tzinfo=UTC), "releases": True}),
        ("civitai", {"tag": "faces", "base_models": ["SDXL"]}),
        ("huggingface", {"repos": ["a/b"]}),
        ("templates", {}),
        ("backend", {"backend": "one"}),
        ("urls", {"nodes": False}),
    ],
)
def test_every_source_can_be_resumed(wb, source, options):
    """What the store knows of a sync is enough to make its source again."""

    async def make(values):
        made = sources[source](**values)
        return await made if hasattr(made, "__await__") else made

    sources = wb.catalogue._session.sources
    first = wb.host.wait(make(options))
    job = SyncJob(
        type=first.type,
        status="FAILED",
        results={"source": first.name, "settings": first.settings()},
    )
    wb.store.put(job).result()
    seen = []

    class Runner:
        async def start(self, source, *, resume):
            seen.append((source, resume))

    async def runner():
        return Runner()

    service = wb.deployments._session.service
    service.parts = dataclasses.replace(service.parts, syncs=runner)
    wb.host.wait(service.run(ResumeSync(syncId=job.id)))
    ((again, resumed),) = seen
    assert resumed == job.id
    assert (type(again), again.settings()) == (type(first), first.settings())


def test_the_catalogue_is_filled_and_searched(wb, tmp_path):
    assert shown(wb.catalogue.nodes(limit=1)).startswith(f"{wb.catalogue.nodes().total} node packs")
    lists = tmp_path / "lists"
    lists.mkdir()
    pack = {
        "title": f"Faces {HOSTILE}",
        "reference": "https://github.com/example/faces",
        "files": ["https://github.com/example/faces"],
        "install_type": "git-clone",
        "author": "Ada",
        "description": "about faces",
    }
    (lists / "custom-node-list.json").write_text(json.dumps({"custom_nodes": [pack]}))
    sync = wb.catalogue.sync("manager", place=str(lists))
    told = threading.Event()
    sync.watch(lambda view: view.status.value == "COMPLETED" and told.set())
    assert sync.wait(60).view.status.value == "COMPLETED"
    assert told.wait(60)
    assert "COMPLETED" in shown(sync)
    found = wb.catalogue.nodes('"about faces"')
    assert [one.author for one in found] == ["Ada"]
    assert (found.total, found[0].githubUrl) == (1, pack["reference"])
    shown(found)
    assert wb.catalogue.node("https://github.com/Example/Faces.git").id == found[0].id
    assert wb.catalogue.node(found[0].id).id == found[0].id
    assert "comfyui-manager" in shown(wb.catalogue.syncs)
    assert shown(sync.errors) == shown(wb.catalogue.errors(sync.id))
    with pytest.raises(UsageError, match="complete"):
        wb.catalogue.resume(sync.id).wait(60)
    with pytest.raises(NotFound, match="There is no source 'nowhere'; there are: manager"):
        wb.catalogue.sync("nowhere")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    nowhere = wb.catalogue.sync("registry", base="http://127.0.0.1:9", since=since).wait(60)
    assert nowhere.view.status.value == "FAILED"
    assert "only https is asked" in nowhere.view.error
    with pytest.raises(UsageError, match="since must be a time such as"):
        wb.catalogue.sync("registry", since="yesterday").wait(60)
    with pytest.raises(UsageError, match="manager cannot be synced so"):
        wb.catalogue.sync("manager", nonsense=1).wait(60)
    with pytest.raises(NotFound, match="has nothing called 'x'"):
        wb.catalogue.model("x")
    row = UrlValidation(url="https://example.org/gone", isValid=False, errorMessage=HOSTILE)
    assert shown(wb.catalogue.broken) == "no address is known to be broken"
    wb.store.put(row).result()
    assert "https://example.org/gone" in shown(wb.catalogue.broken)
    assert "finds some" in shown(wb.catalogue)
    assert shown(wb.catalogue.downloads) == "no downloads yet"
    assert wb.store.count(ModelDownloadStats).result() == 0
