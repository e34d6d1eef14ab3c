"""``wb.metrics`` in a notebook's hands, and the document that explains its tables and views."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from comfynb.engine.metrics.queries import VIEWS
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.sandbox import Sandbox, workflow_text
from comfynb.store.schema import BULK_TABLES
from comfynb.workbench import Workbench
from comfynb.workbench.metrics.metrics import seconds_of


@pytest.fixture(scope="module")
def machine(tmp_path_factory, repo):
    """A sandbox with the agent in it."""
    folder = tmp_path_factory.mktemp("custom_nodes")
    (folder / "agent").symlink_to(repo / "agent", target_is_directory=True)
    with Sandbox(custom_nodes=folder) as sandbox:
        yield sandbox


def test_a_job_and_what_its_machine_did(tmp_path, machine):
    file = tmp_path / "portrait.json"
    file.write_text(workflow_text("portrait"))
    with Workbench(tmp_path / "lab.duckdb") as wb:
        wb.backends.add(machine.url, name="one")
        seen = []
        stop = wb.metrics.watch(seen.extend)
        workflow = wb.workflows.load(file)
        job = workflow.run(seed=1, steps=6, seconds_per_step=0.5).wait(60)
        wb.host.wait(sampled_after(wb, job))
        stop()
        assert {row.source for row in seen} == {"agent"}
        samples = job.metrics.to_df()
        assert len(samples) >= 2
        assert (samples.ram_used > 0).all()
        assert samples.power_watts.isna().all(), "no GPU here, so nothing is made up"
        assert samples.second.between(0, 60).all()
        [usage] = job.usage
        assert (usage["workflow"], usage["backend"], usage["state"]) == (
            job.name, "one", "completed",
        )  # fmt: skip
        assert usage["seconds"] >= 3
        assert usage["measured_seconds"] == pytest.approx(usage["seconds"], abs=2.5)
        assert (usage["energy_joules"], usage["gpu_memory_peak"]) == (None, None)
        assert usage["node_count"] == 5
        assert usage["model_loads"] == 1
        nodes = list(wb.metrics.queries.nodes(job.id).result())
        assert [node["model"] for node in nodes if node["model"]] == ["small.safetensors"]
        assert sum(node["seconds"] for node in nodes) == pytest.approx(usage["seconds"], abs=1.5)
        [row] = wb.metrics.usage()
        assert (row["prompts"], row["success_rate"], row["cache_hit_rate"]) == (1, 1.0, 0.0)
        assert row["seconds_p50"] == row["seconds_p95"] == usage["seconds"]
        assert [one["status"] for one in wb.metrics.usage("job")] == ["completed"]
        assert [one["busy_seconds"] for one in wb.metrics.usage("backend")] == [usage["seconds"]]
        [demand] = wb.metrics.demand()
        assert demand["eligible_share"] == 1.0
        assert demand["score"] == pytest.approx(
            demand["eligible_wait_seconds"] * demand["utilization"]
        )
        series = wb.metrics.series(("ram_used", "queue_depth"), "one", last="5m")
        line = series.line("one", "ram_used")
        assert set(line.values) == set(series.to_df().query("field == 'ram_used'").value)
        assert line.times[-1] > (datetime.now(UTC) - timedelta(minutes=5)).timestamp()
        [now] = wb.metrics.now()
        assert (now["backend"], now["source"], now["online"]) == ("one", "agent", True)
        assert [one["hour_of_day"] for one in wb.metrics.queries.heatmap("Asia/Kolkata").result()]
        assert [one["weekday"] for one in wb.metrics.queries.heatmap().result()]
        assert [one["prompts"] for one in wb.metrics.throughput()] == [1]
        assert len(wb.metrics.prompts()) == 1
        assert len(wb.metrics.prompts(backends="one", start=0, end=1)) == 0
        assert len(wb.metrics.alerts()) == len(wb.metrics.gaps()) == 0
        assert repr(wb.metrics).startswith("one: agent, every ")
        assert wb.problems == []
    with Workbench(tmp_path / "lab.duckdb") as wb:
        kept = len(wb.sql("select * from metrics"))
        assert kept >= len(samples), "what waited was written when it was closed"


async def sampled_after(wb, job):
    """Return when the sample that covers the job's end is stored, and what it cost is known."""
    while True:
        await wb.metrics.collector.flush()
        [usage] = await wb.metrics.queries.of_job(job.id)
        if usage["measured_seconds"] is not None:
            return
        await wb.store.ready()


def test_settings_are_shared_and_checked(wb):
    assert wb.metrics.configure(temperature=70, raw_hours=48).temperature == 70
    assert wb.sql("select name, value from metrics_settings order by name").rows == [
        ("raw_hours", 48.0), ("temperature", 70.0),
    ]  # fmt: skip
    assert wb.metrics.settings.keeping.raw == timedelta(hours=48)
    wb.metrics.configure(raw_hours=None)
    assert wb.metrics.settings.raw_hours == 24
    with pytest.raises(UsageError, match="no setting"):
        wb.metrics.configure(colour=1)
    with pytest.raises(InvalidValue, match="raw_hours must be from 1"):
        wb.metrics.configure(raw_hours=0)


def test_an_agents_address_and_token(wb, tmp_path):
    secret = "correct-horse-battery-staple"
    wb.metrics.agent("one", "http://gpu1:9000/", token=secret)
    assert wb.backends["one"].config.agent_url == "http://gpu1:9000"
    assert wb.secrets.get(f"{wb.backends['one'].id}/agent") == secret
    stored = wb.sql("select * from backends")
    assert secret not in str(stored.rows)
    assert secret not in repr(wb.metrics)
    with pytest.raises(UsageError, match="token=, not in its address"):
        wb.metrics.agent("one", f"http://user:{secret}@gpu1:9000")
    wb.metrics.agent("one")
    assert wb.backends["one"].config.agent_url is None
    assert wb.secrets.get(f"{wb.backends['one'].id}/agent") is None


def test_what_is_wrong_is_said(wb):
    with pytest.raises(NotFound, match="no backend called 'nine'"):
        wb.metrics.series(backends="nine")
    with pytest.raises(UsageError, match="no field 'gpu'"):
        wb.metrics.series("gpu")
    for wrong in ("yesterday", "", "-1h", "0s", 0, "1 fortnight"):
        with pytest.raises(InvalidValue, match="length of time"):
            wb.metrics.series(last=wrong)
    with pytest.raises(InvalidValue, match="needs a zone"):
        wb.metrics.series(start=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the fault
    with pytest.raises(InvalidValue, match="start must lie before end"):
        wb.metrics.series(start=5, end=5)
    with pytest.raises(InvalidValue, match="points must be"):
        wb.metrics.series(points=1)
    with pytest.raises(UsageError, match="by must be"):
        wb.metrics.usage("weather")


def test_lengths_of_time():
    assert [seconds_of(one) for one in ("90s", "15m", "15 min", "1.5h", "7d", "2w")] == [
        90, 900, 900, 5400, 604800, 1209600,
    ]  # fmt: skip
    assert seconds_of(timedelta(minutes=1)) == seconds_of(60) == 60


def test_the_document_names_every_view_and_column(wb, repo):
    text = (repo / "docs" / "analytics.md").read_text("utf-8")
    parts = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE))
    ours = {
        row[0]
        for row in wb.sql(
            "select view_name from duckdb_views() where not internal "
            "and view_name not in ('job_runs', 'job_files', 'sweep_points')"
        ).rows
    }
    assert ours == set(VIEWS)
    for view in VIEWS:
        columns = wb.sql(f"select * from {view} limit 0").columns
        named = set(re.findall(r"`(\w+)`", parts[view]))
        assert set(columns) <= named, f"{view}: {set(columns) - named} are not explained"
        listed = re.findall(r"`(\w+)`", parts[view].split("\n\n* ")[0].split("score =")[0])
        known = (
            set(columns)
            | {
                column
                for table in (*BULK_TABLES, "prompts")
                for column in wb.sql(f"select * from {table} limit 0").columns
            }
            | BULK_TABLES
            | set(VIEWS)
        )
        others = {"MetricsSnapshot", *wb.metrics.settings.__slots__}
        assert set(listed) <= known | others, set(listed) - known
    for table in BULK_TABLES:
        assert f"**{table}**" in text, table
    for name in wb.metrics.settings.__slots__:
        assert f"`{name}`" in text, name
