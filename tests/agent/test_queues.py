"""ComfyUI's queue, from inside and over HTTP, of a ComfyUI that behaves and of one that doesn't."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest
from aiohttp import web

from comfynb_agent.queues import HttpQueue, InnerQueue, NoQueue


def item(prompt_id):
    return (1, prompt_id, {"1": {}}, {}, [])


class NewQueue:
    def get_current_queue_volatile(self):
        return [item("a")], [item("b"), item("c")]


class OldQueue:
    """Before get_current_queue_volatile; the other method copies all graphs."""

    def __init__(self):
        self.mutex = threading.RLock()
        self.currently_running = {7: item("a")}
        self.queue = [item("b"), item("c")]

    def get_current_queue(self):
        raise AssertionError("this copies every graph")


@pytest.mark.parametrize("kind", [NewQueue, OldQueue])
async def test_inside_comfyui(kind):
    queue = InnerQueue(kind)
    reading = await queue.ask()
    assert (reading.source, reading.online) == ("comfyui", True)
    assert (reading.running, reading.pending) == (1, 2)
    assert reading.running_prompt_ids == ["a"]
    assert reading.missing == []
    await queue.close()


async def test_inside_another_comfyui_than_we_know():
    queue = InnerQueue(lambda: SimpleNamespace())
    reading = await queue.ask()
    assert (reading.running, reading.pending, reading.online) == (None, None, True)
    assert "cannot be read (AttributeError" in reading.missing[0]
    await queue.close()
    unasked = InnerQueue(NewQueue)
    await unasked.close()
    assert (await unasked.ask()).running is None


async def test_nowhere():
    reading = await NoQueue().ask()
    assert (reading.online, reading.running) == (None, None)
    assert "--comfyui" in reading.missing[0]


@pytest.fixture
async def comfyui():
    """A server whose answers the test gives: ``answers[path] = (status, body)``."""
    answers = {}
    seen = []

    async def answer(request):
        seen.append(request.path_qs)
        status, body = answers.get(request.path, (404, "no"))
        text = body if isinstance(body, str) else json.dumps(body)
        headers = {"Location": "/elsewhere"} if status == 302 else None
        return web.Response(status=status, text=text, headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield SimpleNamespace(url=url, answers=answers, seen=seen)
    await runner.cleanup()


@pytest.fixture
async def queue(comfyui, clock):
    queue = HttpQueue(comfyui.url + "/", clock)
    yield queue
    await queue.close()


async def test_an_idle_comfyui_is_asked_one_cheap_question(comfyui, queue, clock):
    comfyui.answers["/prompt"] = 200, {"exec_info": {"queue_remaining": 0}}
    reading = await queue.ask()
    assert (reading.online, reading.running, reading.pending) == (True, 0, 0)
    assert await queue.ask() is reading
    assert comfyui.seen == ["/prompt"]
    clock.now += 1
    await queue.ask()
    assert comfyui.seen == ["/prompt"] * 2


async def test_a_busy_comfyui_with_jobs(comfyui, queue):
    comfyui.answers["/prompt"] = 200, {"exec_info": {"queue_remaining": 3}}
    comfyui.answers["/api/jobs"] = 200, {"jobs": [{"id": "a", "status": "in_progress"}]}
    reading = await queue.ask()
    assert (reading.running, reading.pending) == (1, 2)
    assert reading.running_prompt_ids == ["a"]
    assert "/queue" not in comfyui.seen


async def test_a_busy_comfyui_without_jobs(comfyui, queue, clock):
    comfyui.answers["/prompt"] = 200, {"exec_info": {"queue_remaining": 3}}
    comfyui.answers["/queue"] = 200, {"queue_running": [item("a")], "queue_pending": []}
    reading = await queue.ask()
    assert (reading.running, reading.pending, reading.running_prompt_ids) == (1, 2, ["a"])
    clock.now += 1
    await queue.ask()
    assert sum(path.startswith("/api/jobs") for path in comfyui.seen) == 1
    # what comes back after it was away may be a newer one
    del comfyui.answers["/prompt"]
    clock.now += 1
    assert (await queue.ask()).online is False
    comfyui.answers["/prompt"] = 200, {"exec_info": {"queue_remaining": 2}}
    comfyui.answers["/api/jobs"] = 200, {"jobs": [{"id": "b"}, {"status": "in_progress"}, None]}
    clock.now += 1
    reading = await queue.ask()
    assert (reading.running, reading.pending, reading.running_prompt_ids) == (1, 1, ["b"])


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "HTTP status 404 at /prompt"),
        ({"/prompt": (302, "")}, "HTTP status 302"),
        ({"/prompt": (200, "<html>")}, "none of ComfyUI's"),
        ({"/prompt": (200, "[" * 100_000)}, "none of ComfyUI's"),
        ({"/prompt": (200, [])}, "does not tell queue_remaining"),
        ({"/prompt": (200, {"exec_info": {"queue_remaining": 1}})}, "HTTP status 404 at /queue"),
        (
            {
                "/prompt": (200, {"exec_info": {"queue_remaining": 1}}),
                "/queue": (200, {"queue_running": 5}),
            },
            "does not tell queue_running",
        ),
    ],
)
async def test_what_is_no_comfyui(comfyui, queue, answers, words):
    comfyui.answers.update(answers)
    reading = await queue.ask()
    assert (reading.online, reading.running, reading.pending) == (False, None, None)
    assert words in reading.missing[0]
    assert comfyui.url in reading.missing[0]


async def test_a_comfyui_that_does_not_run(clock):
    # a port that was free a moment ago
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    queue = HttpQueue(f"http://127.0.0.1:{port}", clock)
    reading = await queue.ask()
    assert reading.online is False
    assert "cannot be read" in reading.missing[0]
    await queue.close()
