"""A prompt is found while it moves, stopped alone, and never sent with a doubt left."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from aiohttp import web

from comfynb.comfy import CancelResult, ComfyClient, new_prompt_id
from comfynb.errors import BackendUnreachable, InvalidValue, NotComfyUI, PromptRefused, ServerError
from comfynb.sandbox import in_process

from .conftest import ServeApp, ServeRoutes

STAGES = ["absent", "pending", "running", "ended", "forgotten"]
OURS = "11111111-1111-4111-8111-111111111111"
OTHERS = "22222222-2222-4222-8222-222222222222"
GRAPH = {"1": {"class_type": "SaveImage", "inputs": {}}}


class Moving:
    """A ComfyUI whose prompt moves to its next stage before given requests; each is counted.

    ``moves`` are the numbers of the requests before which it moves on. It starts in ``stage``.
    """

    def __init__(self, stage: str, moves: tuple[int, ...], *, jobs: bool, job_cancel: bool) -> None:
        self.stage = stage
        self.moves = moves
        self.requests = 0
        self.seen: list[str] = []
        self.posted: list[Any] = []
        self.interrupted = False
        self.removed = False
        self.app = web.Application(middlewares=[self.count])
        self.app.router.add_get("/queue", self.queue)
        self.app.router.add_post("/queue", self.delete)
        self.app.router.add_post("/interrupt", self.interrupt)
        self.app.router.add_get("/history/{id}", self.history)
        if jobs:
            self.app.router.add_get("/api/jobs", self.list_jobs)
            self.app.router.add_get("/api/jobs/{id}", self.job)
        if job_cancel:
            self.app.router.add_post("/api/jobs/{id}/cancel", self.cancel_job)

    @web.middleware
    async def count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path != "/api/jobs":
            for _ in range(self.moves.count(self.requests)):
                self.move()
            self.requests += 1
        answer: web.StreamResponse = await handler(request)
        self.seen.append(self.stage)
        return answer

    def move(self) -> None:
        if not self.removed and not self.interrupted:
            self.stage = STAGES[STAGES.index(self.stage) + 1]

    async def queue(self, _: web.Request) -> web.Response:
        item = [3, OURS, GRAPH, {}, []]
        other = [1, OTHERS, GRAPH, {}, []]
        running = [item] if self.stage == "running" else [other]
        pending = [item] if self.stage == "pending" else []
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def history(self, request: web.Request) -> web.Response:
        assert request.match_info["id"] == OURS
        if self.stage != "ended":
            return web.json_response({})
        if self.interrupted:
            messages: list[Any] = [["execution_interrupted", {}]]
            status = {"status_str": "error", "completed": False, "messages": messages}
        else:
            status = {"status_str": "success", "completed": True, "messages": []}
        return web.json_response({OURS: {"outputs": {}, "status": status}})

    async def list_jobs(self, _: web.Request) -> web.Response:
        return web.json_response({"jobs": [], "pagination": {}})

    async def job(self, request: web.Request) -> web.Response:
        assert request.match_info["id"] == OURS
        status = {"pending": "pending", "running": "in_progress", "ended": "completed"}
        if self.stage not in status:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response({"id": OURS, "status": status[self.stage]})

    async def delete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posted.append(body)
        if self.stage == "pending":
            self.stage, self.removed = "absent", True
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        self.posted.append(await request.json())
        if self.stage == "running":
            self.interrupted, self.stage = True, "ended"
        return web.Response()

    async def cancel_job(self, request: web.Request) -> web.Response:
        self.posted.append(request.match_info["id"])
        acted = self.stage in {"pending", "running"}
        if self.stage == "pending":
            self.stage, self.removed = "absent", True
        elif self.stage == "running":
            self.interrupted, self.stage = True, "ended"
        return web.json_response({"cancelled": acted})

    def client(self, url: str, *, job_cancel: bool) -> ComfyClient:
        client = ComfyClient(url)
        client._prompts.has_job_cancel = job_cancel
        return client


MOVES = [
    moves
    for count in range(3)
    for moves in itertools.combinations_with_replacement(range(6), count)
]


@pytest.mark.parametrize("jobs", [False, True], ids=["queue", "jobs"])
async def test_a_prompt_is_found_whenever_it_moves(jobs: bool, serve_app: ServeApp) -> None:
    for moves in MOVES:
        server = Moving("pending", moves, jobs=jobs, job_cancel=False)
        async with ComfyClient(await serve_app(server.app)) as client:
            state = await client.find(OURS)
        said = "ended" if state.is_terminal else state.kind
        # What it says was true while it looked.
        assert said in ["pending", *server.seen], (moves, state)
        assert state.kind != "unknown"
        assert (state.entry is not None) == state.is_terminal


@pytest.mark.parametrize("jobs", [False, True], ids=["queue", "jobs"])
async def test_a_prompt_that_comes_late_is_found_at_the_second_look(
    jobs: bool, serve_app: ServeApp
) -> None:
    for arrival in range(3):
        server = Moving("absent", (arrival,), jobs=jobs, job_cancel=False)
        async with ComfyClient(await serve_app(server.app)) as client:
            assert (await client.find(OURS)).kind == "pending"


@pytest.mark.parametrize("jobs", [False, True], ids=["queue", "jobs"])
async def test_a_prompt_that_nobody_knows_is_unknown(jobs: bool, serve_app: ServeApp) -> None:
    server = Moving("forgotten", (), jobs=jobs, job_cancel=False)
    async with ComfyClient(await serve_app(server.app)) as client:
        state = await client.find(OURS)
        assert (state.kind, state.entry, state.is_terminal) == ("unknown", None, False)
        assert await client.cancel(OURS) is CancelResult.UNKNOWN
    assert server.posted == []


async def test_a_prompt_that_has_ended_costs_one_light_request(serve_app: ServeApp) -> None:
    server = Moving("ended", (), jobs=True, job_cancel=False)
    async with ComfyClient(await serve_app(server.app)) as client:
        assert (await client.find(OURS)).kind == "completed"
    assert server.requests == 1


async def test_a_cancelled_job_without_history(serve: ServeRoutes) -> None:
    async def job(_: web.Request) -> web.Response:
        return web.json_response({"status": "cancelled"})

    async def empty(_: web.Request) -> web.Response:
        return web.json_response({})

    async def jobs(_: web.Request) -> web.Response:
        return web.json_response({"jobs": []})

    routes = {"GET /api/jobs": jobs, "GET /api/jobs/{id}": job, "GET /history/{id}": empty}
    async with ComfyClient(await serve(routes)) as client:
        state = await client.find(OURS)
    assert (state.kind, state.entry) == ("interrupted", None)


async def test_a_job_status_of_the_future_is_looked_up_in_the_queue(serve: ServeRoutes) -> None:
    async def job(_: web.Request) -> web.Response:
        return web.json_response({"status": "levitating"})

    async def empty(_: web.Request) -> web.Response:
        return web.json_response({})

    async def jobs(_: web.Request) -> web.Response:
        return web.json_response({"jobs": []})

    async def queue(_: web.Request) -> web.Response:
        return web.json_response({"queue_running": [[1, OURS, {}, {}, []]], "queue_pending": []})

    routes = {"GET /api/jobs": jobs, "GET /api/jobs/{id}": job, "GET /history/{id}": empty}
    async with ComfyClient(await serve({**routes, "GET /queue": queue})) as client:
        assert (await client.find(OURS)).kind == "running"


# Cancelling


@pytest.mark.parametrize(
    ("jobs", "job_cancel"), [(False, False), (True, False), (True, True)], ids=str
)
async def test_cancelling_says_what_happened_whenever_it_moves(
    jobs: bool, job_cancel: bool, serve_app: ServeApp
) -> None:
    results = set()
    for moves in MOVES:
        server = Moving("pending", moves, jobs=jobs, job_cancel=job_cancel)
        async with server.client(await serve_app(server.app), job_cancel=job_cancel) as client:
            result = await client.cancel(OURS)
        results.add(result)
        if result is CancelResult.REMOVED:
            assert server.removed, moves
        elif result is CancelResult.FINISHED:
            assert server.stage == "ended", moves
            assert not server.removed
        else:
            assert result is CancelResult.INTERRUPTING, moves
            # It ran when we looked; it may have ended by itself before the interrupt came.
            assert server.interrupted or "running" in server.seen
            assert not server.removed
        for body in server.posted:
            assert body in (OURS, {"delete": [OURS]}, {"prompt_id": OURS}), "never anybody else's"
    assert results >= {CancelResult.REMOVED, CancelResult.FINISHED, CancelResult.INTERRUPTING}


async def test_a_server_that_does_not_let_go_is_no_success(serve: ServeRoutes) -> None:
    async def stuck(_: web.Request) -> web.Response:
        return web.json_response({"queue_running": [], "queue_pending": [[1, OURS, {}, {}, []]]})

    async def empty(_: web.Request) -> web.Response:
        return web.json_response({})

    routes = {"GET /queue": stuck, "POST /queue": empty, "GET /history/{id}": empty}
    async with ComfyClient(await serve(routes)) as client:
        with pytest.raises(ServerError, match="although it was cancelled"):
            await client.cancel(OURS)


async def test_an_atomic_cancel_is_used_where_there_is_one() -> None:
    async with in_process(job_cancel=True) as server, ComfyClient(server.url) as client:
        info = await client.probe()
        assert info.has_jobs_api
        assert info.has_job_cancel
        assert await client.cancel(new_prompt_id()) is CancelResult.UNKNOWN


# Sending


async def submit(url: str, **options: Any) -> Any:
    async with ComfyClient(url, name="PC1", client_id="me") as client:
        return await client.submit(GRAPH, prompt_id=OURS, **options)


async def test_what_is_sent_is_what_was_asked_for(serve: ServeRoutes) -> None:
    bodies = []

    async def accept(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response({"prompt_id": OURS, "number": -4.5, "node_errors": {}})

    url = await serve({"POST /prompt": accept})
    accepted = await submit(url)
    assert (accepted.prompt_id, accepted.number) == (OURS, -4.5)
    await submit(
        url,
        extra_data={"extra_pnginfo": {"workflow": {"a": float("nan")}}},
        front=True,
        number=7,
        partial_execution_targets=("9",),
        preview_method="latent2rgb",
    )
    plain, full = bodies
    assert plain == {"prompt": GRAPH, "prompt_id": OURS, "client_id": "me"}
    assert full["extra_data"]["preview_method"] == "latent2rgb"
    assert "workflow" in full["extra_data"]["extra_pnginfo"]
    assert (full["front"], full["number"], full["partial_execution_targets"]) == (True, 7, ["9"])


async def test_extra_data_is_not_changed(serve: ServeRoutes) -> None:
    async def accept(_: web.Request) -> web.Response:
        return web.json_response({"prompt_id": OURS, "number": 1, "node_errors": {}})

    extra = {"a": 1}
    await submit(await serve({"POST /prompt": accept}), extra_data=extra, preview_method="auto")
    assert extra == {"a": 1}


@pytest.mark.parametrize("prompt_id", ["", "None", OURS.upper() + "F", OURS.replace("-", "")])
async def test_only_canonical_ids_are_sent(prompt_id: str, unused_tcp_port: int) -> None:
    async with ComfyClient(f"127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(InvalidValue, match="no prompt id"):
            await client.submit(GRAPH, prompt_id=prompt_id)


async def test_what_json_cannot_carry_is_refused_before_sending(unused_tcp_port: int) -> None:
    async with ComfyClient(f"127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(InvalidValue, match="JSON"):
            await client.submit({"1": {"inputs": {"x": {1, 2}}}}, prompt_id=OURS)


def refusals(recording: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        step
        for step in recording["log"]
        if step.get("http", {}).get("path") == "/prompt"
        and step["http"]["method"] == "POST"
        and "json" in step["http"]
        and "prompt" in step["http"]["json"]
        and (step["status"] == 400 or step["body"].get("node_errors"))
    ]


async def test_every_recorded_refusal_is_explained(
    recording: dict[str, Any], serve: ServeRoutes
) -> None:
    steps = refusals(recording)
    if not steps:
        assert recording["scenario"] != "validation_errors"
        return
    cancelled = []

    async def delete(request: web.Request) -> web.Response:
        cancelled.append(await request.json())
        return web.Response()

    for step in steps:

        async def prompt(_: web.Request, step: dict[str, Any] = step) -> web.Response:
            return web.json_response(step["body"], status=step["status"])

        queue = {"queue_running": [], "queue_pending": []}
        accepted = step["body"].get("prompt_id")
        if accepted:
            queue["queue_pending"] = [[1, accepted, {}, {}, []]]

        async def get_queue(_: web.Request, queue: dict[str, Any] = queue) -> web.Response:
            answer = json.dumps(queue)
            queue["queue_pending"] = []
            return web.Response(text=answer, content_type="application/json")

        async def history(_: web.Request) -> web.Response:
            return web.json_response({})

        routes = {"POST /prompt": prompt, "GET /queue": get_queue, "POST /queue": delete}
        url = await serve({**routes, "GET /history/{id}": history})
        async with ComfyClient(url, name="PC1") as client:
            with pytest.raises(PromptRefused) as caught:
                await client.submit(step["http"]["json"]["prompt"], prompt_id=accepted or OURS)
        error = caught.value
        assert error.problems
        assert error.node_errors == step["body"]["node_errors"]
        assert error.problems[0] in str(error)
        assert "PC1" in str(error)
        if accepted:
            assert cancelled == [{"delete": [accepted]}]


async def test_a_part_that_was_accepted_is_taken_back() -> None:
    good = {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1}}
    good["inputs"]["color"] = 5  # type: ignore[index]
    prompt = {
        "1": good,
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
        "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "b"}},
        "9": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 60}},
    }
    blocker = {
        "1": prompt.pop("9"),
        "2": {
            "class_type": "LabSampler",
            "inputs": {"model": ["1", 0], "seed": 1, "steps": 1, "seconds_per_step": 0, "text": ""},
        },
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    async with in_process() as server, ComfyClient(server.url) as client:
        blocking, refused = new_prompt_id(), new_prompt_id()
        await client.submit(blocker, prompt_id=blocking)
        with pytest.raises(PromptRefused) as caught:
            await client.submit(prompt, prompt_id=refused)
        assert "images" in caught.value.problems[0]
        queue = await client.queue()
        assert [item.prompt_id for item in (*queue.running, *queue.pending)] == [blocking]
        assert await client.history(refused) is None
        assert await client.cancel(blocking) is CancelResult.INTERRUPTING


async def test_a_part_that_cannot_be_taken_back_is_told(serve: ServeRoutes) -> None:
    async def accept(_: web.Request) -> web.Response:
        errors = {"3": {"errors": [{"type": "required_input_missing", "details": "image"}]}}
        return web.json_response({"prompt_id": OURS, "number": 1, "node_errors": errors})

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500, text="broken")

    routes = {"POST /prompt": accept, "GET /history/{id}": broken}
    with pytest.raises(PromptRefused) as caught:
        await submit(await serve(routes))
    assert any("may still run" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("status", "body", "content_type", "kind"),
    [
        (400, "nope", "text/plain", ServerError),
        (400, '["x"]', "application/json", ServerError),
        (
            500,
            "500 Internal Server Error\n\nServer got itself in trouble",
            "text/plain",
            ServerError,
        ),
        (200, "<html>", "text/html", NotComfyUI),
        (200, "{}", "application/json", NotComfyUI),
        (404, "404: Not Found", "text/plain", ServerError),
        (405, "405: Method Not Allowed", "text/plain", ServerError),
        (413, "too large", "text/plain", ServerError),
        (504, "<html>", "text/html", BackendUnreachable),
    ],
)
async def test_other_answers_to_a_prompt(
    status: int, body: str, content_type: str, kind: type[Exception], serve: ServeRoutes
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=content_type)

    with pytest.raises(kind) as caught:
        await submit(await serve({"POST /prompt": answer}))
    assert isinstance(caught.value, kind)
    if isinstance(caught.value, ServerError):
        assert caught.value.status == status
    if isinstance(caught.value, BackendUnreachable):
        assert caught.value.sent


async def test_a_server_with_ids_of_its_own_is_refused(serve_app: ServeApp) -> None:
    server = Moving("pending", (), jobs=False, job_cancel=False)

    async def accept(_: web.Request) -> web.Response:
        return web.json_response({"prompt_id": OURS, "number": 1, "node_errors": {}})

    server.app.router.add_post("/prompt", accept)
    async with ComfyClient(await serve_app(server.app)) as client:
        with pytest.raises(ServerError, match="an id of its own"):
            await client.submit(GRAPH, prompt_id=OTHERS)
    assert server.posted == [{"delete": [OURS]}]


async def test_a_post_over_a_connection_that_was_closed_is_not_repeated(
    serve: ServeRoutes,
) -> None:
    posts = 0

    async def vanish(request: web.Request) -> web.Response:
        nonlocal posts
        posts += 1
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(0)
        return web.Response()

    with pytest.raises(BackendUnreachable) as caught:
        await submit(await serve({"POST /prompt": vanish}))
    assert caught.value.sent
    assert posts == 1
