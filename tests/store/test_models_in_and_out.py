"""Whatever a model holds comes back as it was."""

import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfynb.errors import StoreError, UsageError
from comfynb.models import (
    ApiToken,
    AuthConfig,
    AuthKind,
    BackendConfig,
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    DeploymentUsage,
    DeploymentWorkflow,
    ExposedParameter,
    Job,
    JobEvent,
    JobStatus,
    LockRecord,
    MetricsSnapshot,
    Model,
    ModelDownloadStats,
    ModelType,
    ModelVersion,
    NodeExecution,
    NodeFacts,
    NodeVersion,
    ObjectInfoRecord,
    OutputFile,
    OwnerRecord,
    PackageType,
    ParamConstraints,
    ParamType,
    PictureRating,
    PresetRecord,
    Project,
    PromptRecord,
    Service,
    Source,
    StoredModel,
    SweepPointRecord,
    SweepRecord,
    SyncJob,
    SyncType,
    SystemPackage,
    UrlValidation,
    User,
    WorkflowDefinition,
    WorkflowVersion,
    new_id,
)
from comfynb.store import Store
from comfynb.store.schema import tables

AT = datetime(2026, 11, 21, 12, 30, 45, 123456, tzinfo=UTC)
COMPLETE_SAMPLE = """
insert into metrics (backend_id, taken_at, gpu, main, online, gpu_utilization, gpu_memory_used,
    gpu_memory_total, gpu_temperature, cpu_utilization, ram_used, ram_total, queue_depth)
values ('b1', $1, 0, true, true, 33.5, 1, 2, -5, 0.5, 1, 2, 0)
"""


def examples(make: Any) -> list[StoredModel]:
    """One row of every table, parents before children, with something in every kind of field."""
    job = make.job(2, parameter_values={"seed": 2**64 - 1, "cfg": math.inf, "text": "räksmörgås"})
    job.status, job.completed_at = JobStatus.COMPLETED, AT
    first, second = job.node_executions
    first.status, second.status = JobStatus.COMPLETED, JobStatus.SKIPPED
    first.output_data, first.started_at = {"images": ["a.png"]}, AT
    prompt = make.prompt(
        job,
        state="completed",
        attempt=2,
        sent_at=AT,
        completed_at=AT,
        prompt_sha256="0" * 64,
    )
    first.comfy_prompt_id = prompt.prompt_id
    user = User(email="ada@example.org", name="Ada")
    node = CustomNode(
        name="N", githubUrl="https://github.com/a/b", tags=["x", "ö"], pipRequirements=["numpy>=2"]
    )
    model = Model(
        source=Source.DIRECT,
        name="m",
        type=ModelType.LORA,
        downloadUrl="https://example.org/m.safetensors",
        fileSize=2**40,
        metadata={"tags": ["a"], "stats": {"likes": 3}},
    )
    deployment = Deployment(name="D", userId=user.id, environmentVars={"A": "1"})
    parameter = ExposedParameter(
        id="x",
        node_id="3",
        node_title="KSampler",
        field_name="seed",
        display_name="Seed",
        param_type=ParamType.INT,
        default_value=1,
        constraints=ParamConstraints(min_value=0, max_value=10),
    )
    workflow = WorkflowDefinition(
        id="w",
        name="portrait",
        workflow_json={"nodes": [{"id": 1, "widgets_values": [float("-inf")]}]},
        api_json={"3": {"class_type": "KSampler", "inputs": {"seed": 1}}},
        exposed_parameters=[parameter],
    )
    backend = BackendConfig(
        id="b1",
        name="PC1",
        host="::1",
        scheme="https",
        auth=AuthConfig(kind=AuthKind.BASIC, username="me", env="PW"),
        created_at=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
    )
    return [
        backend,
        ObjectInfoRecord(backend_id="b1", sha256="1" * 64, data={"KSampler": {"input": {}}}),
        workflow,
        WorkflowVersion(id="2" * 64, workflow_id="w", api_json={"a": 1}),
        PresetRecord(workflow_id="w", name="quick", parameter_values={"3.seed": 2**64 - 1}),
        make.project,
        OwnerRecord(host="h", pid=1),
        job,
        prompt,
        OutputFile(
            prompt_id=prompt.prompt_id,
            node_id="9",
            kind="images",
            index=0,
            filename="a.png",
            size=3,
        ),
        SweepRecord(
            id="sw", name="first", axes=["seed"], seed=7, targets=[{"version": "2" * 64}, None]
        ),
        SweepPointRecord(
            sweep_id="sw", index=3, place=1, values={"seed": 2**64 - 1}, key="3" * 64, job_id=job.id
        ),
        PictureRating(prompt_id=prompt.prompt_id, node_id="9", kind="images", index=0, rating=4.5),
        JobEvent(job_id=job.id, kind="note", data={"x": [None, True, 1.5]}),
        user,
        ApiToken(name="t", service=Service.CIVITAI, token="encrypted", userId=user.id),
        node,
        model,
        ModelDownloadStats(modelId=model.id),
        deployment,
        DeploymentNode(deploymentId=deployment.id, customNodeId=node.id, config={"a": 1}),
        DeploymentModel(deploymentId=deployment.id, modelId=model.id, targetPath="models/loras"),
        SystemPackage(deploymentId=deployment.id, packageType=PackageType.APT, name="git"),
        DeploymentUsage(deploymentId=deployment.id, scriptType="docker", ipAddress="::1"),
        SyncJob(type=SyncType.URL_VALIDATION, results={"ok": 1}),
        UrlValidation(url="https://example.org/", isValid=True, statusCode=200),
        ModelVersion(
            modelId=model.id,
            name="v1",
            filename="one.safetensors",
            downloadUrl="https://example.org/one.safetensors",
            fileSize=2**40,
            sha256="0" * 64,
        ),
        NodeVersion(customNodeId=node.id, version="1.0", commit="a" * 40, dependencies=["x>=1"]),
        NodeFacts(customNodeId=node.id, stars=3, preempts=["One"], sources={"list": {"n": 1.5}}),
        LockRecord(deploymentId=deployment.id, content={"format": 1}, sha256="f" * 64),
        DeploymentWorkflow(
            deploymentId=deployment.id, name="w", apiJson={"1": {"x": 1.5}}, choices={"A": "b"}
        ),
    ]


def key_of(model: StoredModel) -> tuple[Any, ...]:
    return tuple(getattr(model, field) for field in type(model).primary_key)


def test_every_model_comes_back_as_it_was(store: Store, make) -> None:
    rows = examples(make)
    stored = {name for name, table in tables().items() if not table.model.is_view}
    assert {type(row).table_name for row in rows} | {"node_executions"} == stored
    store.put(*reversed(rows)).result(30)  # children before parents: the order does not matter
    for row in rows:
        back = store.get(type(row), *key_of(row)).result(30)
        assert back == row
        assert back is not None
        for name, value in back:
            if isinstance(value, datetime):
                assert value.utcoffset() == timedelta(0), name
    store.put(*rows).result(30)  # once more changes nothing
    assert [store.get(type(row), *key_of(row)).result(30) for row in rows] == rows
    assert store.check().result(30) == []


def test_a_complete_sample_is_a_snapshot_of_the_seed(store: Store) -> None:
    incomplete = COMPLETE_SAMPLE.replace("33.5", "null")
    for sql in (COMPLETE_SAMPLE, incomplete):
        store.transact(lambda tx, sql=sql: tx.execute(sql, [AT])).result(30)
    [found] = store.find(MetricsSnapshot).result(30)
    assert (found.backend_id, found.timestamp, found.gpu_utilization) == ("b1", AT, 33.5)
    assert uuid.UUID(found.id)
    assert store.get(MetricsSnapshot, found.id).result(30) == found
    assert store.check().result(30) == []
    with pytest.raises(UsageError, match="metrics_snapshots is a view"):
        store.put(found).result(30)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.text(), json_values, max_size=5), message=st.text())
def test_json_and_text_survive_whatever_they_are(
    store: Store, make, values: dict[str, Any], message: str
) -> None:
    # PostgreSQL's text has no U+0000; within JSON it is escaped.
    message = message.replace("\x00", "")
    job = make.job(parameter_values=values, error_message=message)
    event = JobEvent(job_id=job.id, kind="x", message=message, data=values)
    store.put(job, event).result(30)
    assert store.get(Job, job.id).result(30) == job
    assert store.get(JobEvent, event.id).result(30) == event


def test_not_a_number_survives_in_json(store: Store, make) -> None:
    job = make.job(parameter_values={"cfg": math.nan, "list": [math.inf, -math.inf]})
    store.put(job).result(30)
    back = store.get(Job, job.id).result(30)
    assert back is not None
    assert math.isnan(back.parameter_values["cfg"])
    assert back.parameter_values["list"] == [math.inf, -math.inf]


def test_half_a_surrogate_pair_does_not_stop_a_job_from_being_recorded(store: Store, make) -> None:
    job = make.job(error_message="bad \ud800 text \ud83d\ude00")
    store.put(job).result(30)
    back = store.get(Job, job.id).result(30)
    assert back is not None
    assert back.error_message == "bad \ufffd text \U0001f600"


HOSTILE = ["'; drop table jobs; --", '"; drop table jobs; --', "$1", "%s {json}", "\\", "\n\t"]


def test_hostile_text_is_only_text(store: Store) -> None:
    for text in HOSTILE:
        project = Project(id=new_id(), name="p", description=text)
        store.put(project).result(30)
        assert store.find(Project, where={"description": text}).result(30) == [project]
        with pytest.raises(UsageError):
            store.find(Project, where={text: 1}).result(30)
        with pytest.raises(UsageError):
            store.find(Project, order_by=text).result(30)
        assert store.count(Job).result(30) == 0


def test_find_filters_orders_and_pages(store: Store, make) -> None:
    at = [AT + timedelta(minutes=i) for i in range(5)]
    jobs = [make.job(created_at=at[i // 2], error_message=None) for i in range(10)]
    jobs[3].status = JobStatus.FAILED
    jobs[4].error_message = "x"
    store.put(*jobs).result(30)

    def find(**arguments: Any) -> list[str]:
        return [job.id for job in store.find(Job, **arguments).result(30)]

    by_id = sorted(job.id for job in jobs)
    assert find() == by_id
    newest = sorted(jobs, key=lambda job: (-job.created_at.timestamp(), job.id))
    assert find(order_by="-created_at") == [job.id for job in newest]
    pages = [find(order_by="-created_at", limit=3, offset=3 * i) for i in range(4)]
    assert [id_ for page in pages for id_ in page] == [job.id for job in newest]
    assert find(where={"status": JobStatus.FAILED}) == [jobs[3].id]
    assert find(where={"status": "failed"}) == [jobs[3].id]
    assert find(where={"status": ["failed", JobStatus.PENDING]}) == by_id
    assert find(where={"id": []}) == []
    assert find(where={"id !=": [jobs[0].id]}) == sorted(job.id for job in jobs[1:])
    assert find(where={"error_message !=": None}) == [jobs[4].id]
    assert len(find(where={"error_message": None})) == 9
    assert set(find(where={"created_at >=": at[3]})) == {job.id for job in jobs[6:]}
    assert store.count(Job, {"created_at <": at[1], "status": "pending"}).result(30) == 2
    for wrong in ({"status like": "x"}, {"status <": None}, {"nope": 1}, {"": 1}):
        with pytest.raises(UsageError):
            find(where=wrong)
    for limit in (-1, True, "1; drop table jobs"):
        with pytest.raises(UsageError):
            find(limit=limit)
    with pytest.raises(UsageError, match="primary key"):
        store.get(OutputFile, "one").result(30)
    assert store.get(Job, "nobody").result(30) is None


def test_a_job_replaces_its_node_executions_but_never_ones_that_were_run(
    store: Store, make
) -> None:
    job = make.job(3)
    store.put(job).result(30)
    job.node_executions = [job.node_executions[2], job.node_executions[0]]
    store.put(job).result(30)
    assert store.get(Job, job.id).result(30) == job, "the order too"
    store.put(make.prompt(job)).result(30)
    kept = job.node_executions
    job.node_executions = kept[1:]
    with pytest.raises(StoreError, match="has been run"):
        store.put(job).result(30)
    found = store.get(Job, job.id).result(30)
    assert found is not None
    assert found.node_executions == kept
    stranger = make.job()
    stranger.node_executions[0].job_id = job.id
    with pytest.raises(UsageError, match="names job"):
        store.put(stranger).result(30)


def test_revisions_count_every_replacement(store: Store, make) -> None:
    job = make.job()
    for _ in range(3):
        store.put(job).result(30)
    assert store.sql("select rev from jobs").result(30).rows == [(3,)]
    assert store.sql("select rev from node_executions").result(30).rows == [(3,)]


def test_orphans_are_refused(store: Store, make) -> None:
    job = make.job()
    for orphan in (make.prompt(job), job.node_executions[0], JobEvent(job_id="no", kind="x")):
        with pytest.raises(StoreError, match="names no row of"):
            store.put(orphan).result(30)
    with pytest.raises(StoreError, match=r"api_tokens\.userId 'nobody' names no row of users"):
        store.put(ApiToken(name="t", service=Service.CIVITAI, token="x", userId="nobody")).result(
            30
        )
    assert store.count(NodeExecution).result(30) == 0
    # A backend or project that is gone leaves history behind: those are not refused.
    store.put(make.job(project_id="gone")).result(30)


def test_unique_fields_are_unique(store: Store) -> None:
    ada, bob = User(email="ada@example.org"), User(email="bob@example.org")
    store.put(ada, bob).result(30)
    for clash in (
        [User(email="ada@example.org")],
        [bob.model_copy(update={"email": "ada@example.org"})],
        [User(email="new@example.org"), User(email="new@example.org")],
    ):
        with pytest.raises(StoreError, match=r"users\.email .* must be unique"):
            store.put(*clash).result(30)
    # Two rows may swap, and a row may keep its own.
    ada.email, bob.email = bob.email, ada.email
    store.put(ada, bob).result(30)
    store.put(ada).result(30)
    assert store.get(User, ada.id).result(30) == ada


def test_deleting_takes_along_what_hangs_on_a_row(store: Store, make) -> None:
    rows = examples(make)
    other = make.job()
    store.put(*rows, other).result(30)
    job = next(row for row in rows if isinstance(row, Job))
    assert store.delete(Job, job.id).result(30) == 1
    assert store.delete(Job, job.id).result(30) == 0
    assert store.count(PromptRecord).result(30) == store.count(OutputFile).result(30) == 0
    assert store.count(JobEvent).result(30) == 0
    assert store.get(Job, other.id).result(30) == other
    user = next(row for row in rows if isinstance(row, User))
    assert store.delete(User, user.id).result(30) == 1
    assert store.count(ApiToken).result(30) == store.count(DeploymentNode).result(30) == 0
    assert store.count(Model).result(30) == 1
    store.transact(lambda tx: tx.execute(COMPLETE_SAMPLE, [AT])).result(30)
    assert store.delete(BackendConfig, "b1").result(30) == 1
    assert store.count(MetricsSnapshot).result(30) == 1, "history stays"
    assert store.count(ObjectInfoRecord).result(30) == 0
    assert {finding.severity for finding in store.check().result(30)} <= {"warning"}
