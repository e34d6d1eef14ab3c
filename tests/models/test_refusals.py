"""Bad values are refused with a message that names the field and says what is allowed."""

import copy
import pickle
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comfynb import models
from comfynb.models import explain

BACKEND = {"id": "b", "name": "PC1 - RTX 4090", "host": "gpu1"}
PARAMETER = {
    "id": "p",
    "node_id": "3",
    "node_title": "KSampler",
    "field_name": "seed",
    "display_name": "Seed",
    "param_type": "int",
    "default_value": 0,
}
WORKFLOW = {"id": "w", "name": "w", "workflow_json": {}, "api_json": {}}
NODE = {"id": "n", "node_type": "workflow", "position": (0, 0)}
EXECUTION = {"id": "e", "job_id": "j", "canvas_node_id": "n"}
STATUS = {"backend_id": "b", "online": True, "last_seen": "2026-11-01T00:00:00Z"}
METRICS = {
    "id": "m",
    "backend_id": "b",
    "gpu_memory_used": 1,
    "gpu_memory_total": 2,
    "gpu_utilization": 3,
    "gpu_temperature": 4,
    "cpu_utilization": 5,
    "ram_used": 6,
    "ram_total": 7,
    "queue_depth": 8,
}
CUSTOM_NODE = {"name": "n", "githubUrl": "https://example.org/a/b"}
MODEL = {
    "source": "DIRECT",
    "name": "m",
    "type": "LORA",
    "downloadUrl": "https://example.org/m.safetensors",
}
DEPLOYMENT = {"name": "d", "userId": "u"}
DEPLOYMENT_MODEL = {"deploymentId": "d", "modelId": "m", "targetPath": "models/loras"}
PACKAGE = {"deploymentId": "d", "packageType": "PIP", "name": "numpy"}
USAGE = {"deploymentId": "d", "scriptType": "docker"}
ATTEMPT = {"job_id": "j", "node_execution_id": "e", "backend_id": "b"}
APT = {**PACKAGE, "packageType": "APT"}

# model, good values, field, bad value, what the sentence says
CASES = [
    (models.BackendConfig, BACKEND, "port", 0, "greater than or equal to 1, not 0"),
    (models.BackendConfig, BACKEND, "port", 65536, "less than or equal to 65535, not 65536"),
    (models.BackendConfig, BACKEND, "port", "many", "valid integer"),
    (models.BackendConfig, BACKEND, "name", "", "must not be empty"),
    (models.BackendConfig, BACKEND, "name", "  ", "must not be empty"),
    (models.BackendConfig, BACKEND, "name", "a\nb", "one line"),
    (models.BackendConfig, BACKEND, "id", "", "must not be empty"),
    (models.BackendConfig, BACKEND, "max_concurrent_jobs", 0, "greater than or equal to 1, not 0"),
    (models.BackendConfig, BACKEND, "scheme", "ftp", "'http' or 'https'"),
    (models.BackendConfig, BACKEND, "path_prefix", "/a?b", "without ?"),
    (models.BackendConfig, BACKEND, "path_prefix", "/a/../b", "must not hold . or .."),
    (models.BackendConfig, BACKEND, "path_prefix", "/a/%2E%2e/b", "must not hold . or .."),
    (models.BackendConfig, BACKEND, "tags", [""], "must not be empty"),
    (models.BackendConfig, BACKEND, "capabilities", "sdxl", "valid list"),
    (models.BackendConfig, BACKEND, "created_at", "yesterday", "valid datetime"),
    (models.BackendConfig, BACKEND, "prot", 1, "there is no such field"),
    (models.AuthConfig, {"kind": "bearer"}, "kind", "magic", "'basic', 'bearer', 'header' or"),
    (models.BackendStatus, STATUS, "gpu_utilization", 100.5, "less than or equal to 100, not"),
    (models.BackendStatus, STATUS, "cpu_utilization", -1, "greater than or equal to 0, not -1"),
    (models.BackendStatus, STATUS, "cpu_utilization", float("nan"), "or equal to 100, not nan"),
    (models.BackendStatus, STATUS, "queue_depth", -1, "greater than or equal to 0, not -1"),
    (models.MetricsSnapshot, METRICS, "gpu_utilization", 101, "less than or equal to 100, not"),
    (models.MetricsSnapshot, METRICS, "ram_used", -5, "greater than or equal to 0, not -5"),
    (models.ExposedParameter, PARAMETER, "param_type", "integer", "'multiline_string'"),
    (models.ExposedParameter, PARAMETER, "display_name", "", "must not be empty"),
    (models.ExposedParameter, PARAMETER, "default_value", object(), "JSON cannot hold"),
    (models.ExposedParameter, PARAMETER, "default_value", b"x", "bytes, which JSON cannot"),
    (models.ExposedParameter, PARAMETER, "default_value", "\ud800", "surrogate"),
    (models.ParamConstraints, {}, "step", -1, "greater than or equal to 0, not -1"),
    (models.ParamConstraints, {}, "min_value", float("nan"), "leave it out"),
    (models.WorkflowDefinition, WORKFLOW, "api_json", [], "valid dictionary"),
    (models.WorkflowDefinition, WORKFLOW, "api_json", {3: {}}, 'no string: write "3"'),
    (models.WorkflowDefinition, WORKFLOW, "api_json", {"3": {"x": {1}}}, "['3']['x'] is a set"),
    (models.WorkflowDefinition, WORKFLOW, "thumbnail", "data:image/png;base64,xx", "base64"),
    (models.CanvasNode, NODE, "position", (1,), "required"),
    (models.CanvasNode, NODE, "position", (1, float("inf")), "finite number, not inf"),
    (models.CanvasNode, NODE, "node_type", "loop", "'workflow', 'condition', 'fanout'"),
    (models.CanvasNode, NODE, "fallback_strategy", "auto_select", "'none', 'ask_user' or 'auto'"),
    (models.Viewport, {}, "zoom", 0, "greater than 0, not 0"),
    (models.Viewport, {}, "zoom", -2, "greater than 0, not -2"),
    (models.CanvasLayout, {}, "nodes", [NODE, NODE], "ids are unique"),
    (models.NodeExecution, EXECUTION, "progress", 101, "less than or equal to 100, not 101"),
    (models.NodeExecution, EXECUTION, "progress", -0.1, "or equal to 0, not -0.1"),
    (models.NodeExecution, EXECUTION, "status", "done", "'completed'"),
    (models.Job, {"id": "j", "project_id": "p", "canvas_snapshot": {}}, "outputs", 3, "dictionary"),
    (models.User, {"email": "a@b"}, "email", "ada", "e-mail address"),
    (models.User, {"email": "a@b"}, "role", "ROOT", "'ADMIN', 'CURATOR' or 'USER'"),
    (models.CustomNode, CUSTOM_NODE, "githubUrl", "example.org/a", "http:// or https://"),
    (models.CustomNode, CUSTOM_NODE, "githubUrl", "javascript:alert(1)", "http:// or https://"),
    (models.CustomNode, CUSTOM_NODE, "githubUrl", "https://[::1", "a host"),
    (models.CustomNode, CUSTOM_NODE, "tags", "not json", "must be JSON"),
    (models.CustomNode, CUSTOM_NODE, "tags", '{"a": 1}', "valid list"),
    (models.Model, MODEL, "fileSize", -1, "greater than or equal to 0, not -1"),
    (models.Model, MODEL, "filename", "../../etc/passwd", "file name without a folder"),
    (models.Model, MODEL, "downloadUrl", "owner/repo", "http:// or https://"),
    (models.Model, MODEL, "metadata", {"tags": "x"}, "ModelMetadata.tags: Input should be a valid"),
    (models.Deployment, DEPLOYMENT, "environmentVars", {"A B": "x"}, "'A B' is no name of an env"),
    (models.Deployment, DEPLOYMENT, "environmentVars", {"A": 1}, "valid string"),
    (models.Deployment, DEPLOYMENT, "customSettings", {"cuda_version": 12}, "cuda_version: Input"),
    (models.DeploymentModel, DEPLOYMENT_MODEL, "targetPath", "/etc", "relative"),
    (models.DeploymentModel, DEPLOYMENT_MODEL, "targetPath", "models/../..", "relative"),
    (models.DeploymentModel, DEPLOYMENT_MODEL, "targetPath", "C:/models", "relative"),
    (models.DeploymentModel, DEPLOYMENT_MODEL, "targetPath", "models\\loras", "relative"),
    (models.DeploymentModel, DEPLOYMENT_MODEL, "customName", "a/b", "file name without a folder"),
    (models.SystemPackage, PACKAGE, "version", ">=1; rm -rf /", "a version or a constraint"),
    (models.SystemPackage, PACKAGE, "installUrl", "file:///etc", "git+https://"),
    (models.UrlValidation, {"url": "https://a", "isValid": True}, "statusCode", 20, "not 20"),
    (models.DeploymentUsage, USAGE, "ipAddress", "x", "IPv4"),
    (models.PromptRecord, ATTEMPT, "attempt", 0, "greater than or equal to 1, not 0"),
    (models.ObjectInfoRecord, {"backend_id": "b", "sha256": "0" * 64}, "sha256", "abc", "64 lower"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "good", "field", "bad", "says"),
    CASES,
    ids=[f"{case[0].__name__}-{case[2]}-{i}" for i, case in enumerate(CASES)],
)
def test_a_bad_value_is_refused_in_words(model, good, field, bad, says):
    made = model(**good)
    with pytest.raises(ValidationError) as caught:
        model(**{**good, field: bad})
    sentence = explain(caught.value)
    assert sentence.startswith(f"{model.__name__}.{field}")
    assert says in sentence
    assert "\n" not in sentence
    # the same by assignment, which then changes nothing
    if field in model.model_fields:
        before = made.model_dump()
        with pytest.raises(ValidationError):
            setattr(made, field, bad)
        assert made.model_dump() == before


@pytest.mark.parametrize(
    ("model", "values", "says"),
    [
        (models.ParamConstraints, {"min_value": 5, "max_value": 2}, "5 > 2"),
        (models.AuthConfig, {"kind": "basic"}, "username goes with kind 'basic'"),
        (models.AuthConfig, {"kind": "bearer", "username": "a"}, "username goes with kind 'basic'"),
        (models.AuthConfig, {"kind": "basic", "username": "a:b"}, "nor hold a colon"),
        (models.AuthConfig, {"kind": "header"}, "header goes with kind 'header'"),
        (models.AuthConfig, {"kind": "header", "header": "a b"}, "such as X-Api-Key"),
        (models.AuthConfig, {"kind": "token", "env": "no-name"}, "never the secret itself"),
        (models.SystemPackage, {**PACKAGE, "name": "-rf"}, "a Python package's"),
        (models.SystemPackage, {**PACKAGE, "name": "numpy>=2"}, "version is a field of its own"),
        (
            models.SystemPackage,
            {**APT, "name": "A"},
            "a Debian package's",
        ),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(model, values, says):
    with pytest.raises(ValidationError) as caught:
        model(**values)
    assert says in explain(caught.value)


def test_a_refused_assignment_over_several_fields_leaves_the_model_alone():
    limits = models.ParamConstraints(min_value=1, max_value=2)
    with pytest.raises(ValidationError):
        limits.min_value = 5
    assert limits.model_dump(exclude_unset=True) == {"min_value": 1, "max_value": 2}
    with pytest.raises(ValidationError):
        limits.step = -1
    assert limits.model_fields_set == {"min_value", "max_value"}
    limits.max_value = 9
    limits.min_value = 5
    assert (limits.min_value, limits.max_value) == (5, 9)
    assert copy.deepcopy(limits) == limits == pickle.loads(pickle.dumps(limits))


def test_nesting_has_an_end_that_json_parsers_still_read():
    def nested(levels):
        value = 1
        for _ in range(levels):
            value = [value]
        return value

    deepest = models.CanvasNode(**NODE, config={"x": nested(127)})
    layout = models.CanvasLayout(nodes=[deepest])
    job = models.Job(id="j", project_id="p", canvas_snapshot=layout)
    assert models.Job.model_validate_json(job.model_dump_json()) == job
    with pytest.raises(ValidationError, match="nested deeper than 128 levels"):
        models.CanvasNode(**NODE, config={"x": nested(128)})
    with pytest.raises(ValidationError, match="nested deeper than 128 levels") as caught:
        models.CanvasNode(**NODE, config={"x": nested(100_000)})
    assert len(explain(caught.value)) < 200


def test_nothing_is_stricter_than_a_real_machine():
    """What real machines report, and real node classes declare, is taken."""
    cold = {
        **METRICS,
        "gpu_temperature": -40,
        "gpu_memory_used": 24_600,
        "gpu_memory_total": 24_564,
    }
    assert models.MetricsSnapshot(**cold).gpu_temperature == -40
    status = models.BackendStatus(**STATUS, gpu_memory_used=10, gpu_memory_total=4)
    assert (status.gpu_memory_free, status.gpu_memory_percent) == (-6, 250.0)
    assert models.BackendStatus(**STATUS).gpu_memory_percent == 0.0
    limits = models.ParamConstraints(
        min_value=float("-inf"), max_value=float("inf"), step=0, choices=[]
    )
    assert models.ParamConstraints.model_validate_json(limits.model_dump_json()) == limits
    assert models.ExposedParameter(**{**PARAMETER, "node_title": ""}).node_title == ""
    assert models.UrlValidation(url="http://a:8080/x", isValid=False, statusCode=999)


def test_every_reference_in_a_real_catalogue_is_a_url(shared):
    import json

    path = shared / "catalogue" / "comfyui-manager-4.3" / "custom-node-list.json"
    nodes = json.loads(path.read_text())["custom_nodes"]
    made = [
        models.CustomNode(
            name=node["title"],
            githubUrl=node["reference"],
            description=node["description"],
            author=node["author"],
            installType=node["install_type"],
            pipRequirements=node.get("pip", []),
        )
        for node in nodes
    ]
    assert len(made) == len(nodes) > 1000


# ---- secrets ---------------------------------------------------------------------------------

SECRET = "hunter2-swordfish"


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (models.BackendConfig, {**BACKEND, "host": f"ada:{SECRET}@gpu1"}),
        (models.BackendConfig, {**BACKEND, "host": f"gpu1/?token={SECRET}"}),
        (models.BackendConfig, {**BACKEND, "host": "gpu1", "path_prefix": f"/?token={SECRET}"}),
        (models.BackendConfig, {**BACKEND, "auth": {"kind": "bearer", "env": SECRET}}),
        (models.BackendConfig, {**BACKEND, "auth": {"kind": "bearer", "token": SECRET}}),
        (models.BackendConfig, {**BACKEND, "auth": SECRET}),
        (models.BackendConfig, {**BACKEND, "agent_url": f"http://:{SECRET}@gpu1:8189"}),
        (models.BackendConfig, {**BACKEND, "agent_url": f"http://gpu1:8189?token={SECRET}"}),
        (models.AuthConfig, {"kind": "basic", "username": f"ada:{SECRET}"}),
        (models.AuthConfig, {"kind": "header", "header": f"X-Key: {SECRET}"}),
        (models.AuthConfig, {"kind": "bearer", "username": SECRET}),
        (models.ApiToken, {"name": "t", "service": "CIVITAI", "token": [SECRET], "userId": "u"}),
        (models.ApiToken, {"name": "", "service": "CIVITAI", "token": SECRET, "userId": "u"}),
        (models.Deployment, {**DEPLOYMENT, "environmentVars": {"HF_TOKEN": [SECRET]}}),
        (models.Deployment, {**DEPLOYMENT, "environmentVars": {"HF_TOKEN": f"{SECRET}\0"}}),
        (models.CustomNode, {**CUSTOM_NODE, "githubUrl": f"https://ada:{SECRET}@example.org/"}),
        (models.Model, {**MODEL, "downloadUrl": f"https://example.org/m?token={SECRET}"}),
        (models.Model, {**MODEL, "downloadUrl": f"https://example.org/m?a=1&API_KEY={SECRET}"}),
    ],
)
def test_no_message_quotes_what_may_be_a_secret(model, values):
    with pytest.raises(ValidationError) as caught:
        model(**values)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert SECRET not in explain(caught.value)


def test_a_token_is_not_shown():
    token = models.ApiToken(name="t", service="CIVITAI", token=SECRET, userId="u")
    assert SECRET not in repr(token) + str(token) + f"{token}"
    assert token.model_dump()["token"] == SECRET


def test_a_backend_has_no_place_for_a_secret():
    assert set(models.AuthConfig.model_fields) == {"kind", "username", "header", "env"}


def test_ids_are_random_uuids():
    ids = {models.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(uuid.UUID(one).version == 4 for one in ids)


def test_ids_differ_in_threads_and_in_forked_processes():
    with ThreadPoolExecutor(8) as pool:
        made = [each for many in pool.map(lambda _: make_ids(), range(40)) for each in many]
    assert len(set(made)) == len(made)
    # In a process without threads: there it may be forked.
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, check=True
    )
    ids = done.stdout.split()
    assert len(ids) == len(set(ids)) == 60


FORKED = """
import os
from comfynb.models import new_id
print(new_id(), flush=True)  # and some are ready to be taken
child = os.fork()
print(*(new_id() for _ in range(29 if child else 30)), flush=True)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def make_ids(count=500):
    return [models.new_id() for _ in range(count)]


@given(st.text())
def test_names_are_one_visible_line_or_refused(text):
    try:
        name = models.Project(id="p", name=text).name
    except ValidationError:
        assert not text.strip() or not text.isprintable()
    else:
        assert name == text
        assert name.strip()
        assert not set(name) & {"\n", "\r", "\t", "\0", "\x1b", "\x85"}
