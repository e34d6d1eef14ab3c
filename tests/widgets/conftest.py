"""Views, Watchables and parameters for the widgets' tests; no kernel and no engine."""

import dataclasses
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from ipywidgets.widgets import widget as ipywidgets_registry
from PIL import Image

from comfynb.engine.views import BackendView, ImageView, JobView
from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, JobStatus, ParamType, utcnow

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</div></style><b>",
    "\"' onmouseover='alert(1)' x=\"",
    "\u202eevil\u2066",
    "a\x00b\x1b[31m\ud800",
    "x" * 10_000,
    "line\nline\r\nline",
    "&lt;b&gt; &amp; `${1}`",
    "שלום עולם",
)


class Box:
    """A Watchable that is told its view, and knows who watches."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self.callbacks: list[Callable[[Any], None]] = []

    def watch(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def push(self, view: Any) -> None:
        self.view = view
        for callback in list(self.callbacks):
            callback(view)

    def change(self, **changes: Any) -> None:
        self.push(dataclasses.replace(self.view, **changes))


class Tags(HTMLParser):
    """Reads HTML into its tags with attribute names, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: dict[str, list[str]] = {}
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", ()))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def tags() -> type[Tags]:
    return Tags


@pytest.fixture(params=HOSTILE, ids=lambda text: ascii(text[:12]))
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def box() -> type[Box]:
    return Box


@pytest.fixture
def job_view() -> Callable[..., JobView]:
    def make(**given: Any) -> JobView:
        values = {
            "id": "job-1",
            "name": "portrait",
            "status": JobStatus.PENDING,
            "progress": 0.0,
            "step": None,
            "backend": None,
            "created_at": utcnow(),
            "started_at": None,
            "completed_at": None,
            "error": None,
        }
        return JobView(**{**values, **given})

    return make


@pytest.fixture
def backend_view() -> Callable[..., BackendView]:
    def make(name: str = "PC1", /, **given: Any) -> BackendView:
        values = {
            "id": f"id-{name}",
            "name": name,
            "url": "http://gpu1:8188",
            "enabled": True,
            "online": True,
            "version": "0.8.0",
            "gpu": "RTX 4090",
            "vram_total": 24_564,
            "vram_used": 9_800,
            "queue_depth": 2,
            "running": "portrait 57 %",
            "tags": ("fast",),
            "capabilities": (),
            "last_seen": utcnow(),
            "error": None,
        }
        return BackendView(**{**values, **given})

    return make


@pytest.fixture
def image_view(tmp_path: Path) -> Callable[..., ImageView]:
    def make(name: str = "a.png", size: tuple[int, int] = (64, 48), **given: Any) -> ImageView:
        path = tmp_path / name
        Image.effect_noise(size, 60).convert("RGB").save(path)
        values = {
            "filename": name,
            "path": path,
            "media_type": "image/png",
            "size": path.stat().st_size,
            "node_title": "Save Image",
            "width": size[0],
            "height": size[1],
        }
        return ImageView(**{**values, **given})

    return make


@pytest.fixture
def parameter() -> Callable[..., ExposedParameter]:
    def make(
        name: str = "steps", kind: ParamType = ParamType.INT, default: Any = 20, **given: Any
    ) -> ExposedParameter:
        limits = {
            key: given.pop(key)
            for key in ("min_value", "max_value", "step", "choices", "file_extensions")
            if key in given
        }
        values = {
            "id": name,
            "node_id": "3",
            "node_title": "KSampler",
            "field_name": name,
            "display_name": name.capitalize(),
            "param_type": kind,
            "default_value": default,
            "constraints": limits or None,
        }
        return ExposedParameter(**{**values, **given})

    return make


@pytest.fixture
def check() -> Callable[[ExposedParameter, object], object]:
    """A check such as the Workbench passes in: types, limits and choices."""

    def judge(parameter: ExposedParameter, value: Any) -> object:
        name, limits = parameter.display_name, parameter.constraints
        if parameter.param_type in {ParamType.INT, ParamType.FLOAT}:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidValue(f"{name}: {value!r} is no number.")
            if limits and limits.min_value is not None and value < limits.min_value:
                raise InvalidValue(f"{name}: {value} is below {limits.min_value}.")
            if limits and limits.max_value is not None and value > limits.max_value:
                raise InvalidValue(f"{name}: {value} is above {limits.max_value}.")
        if parameter.param_type is ParamType.CHOICE and limits and value not in limits.choices:
            raise InvalidValue(f"{name}: {value!r} is not available.")
        return value

    return judge


def _open_widgets() -> set[str]:
    return set(ipywidgets_registry._instances)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails if a test leaves a widget open; the shared style sheet is not counted."""
    from comfynb.widgets.theme import style_sheet

    style_sheet()
    before = _open_widgets()
    yield
    left = [ipywidgets_registry._instances[key] for key in _open_widgets() - before]
    assert not left, f"{len(left)} widgets are still open: {left[:5]}"


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()
