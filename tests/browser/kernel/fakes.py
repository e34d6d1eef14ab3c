"""What notebooks of the browser tests import: jobs and backends that only pretend, but live."""

import asyncio
import dataclasses
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from PIL import Image, ImageDraw

from comfynb.engine.views import BackendView, ImageView, JobView
from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, JobStatus, ParamType, utcnow

V = TypeVar("V")


class Box(Generic[V]):
    """A Watchable that is told its view."""

    def __init__(self, view: V) -> None:
        self.view = view
        self.callbacks: list[Callable[[V], None]] = []

    def watch(self, callback: Callable[[V], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def push(self, view: V) -> None:
        self.view = view
        for callback in list(self.callbacks):
            callback(view)

    def change(self, **changes: Any) -> None:
        self.push(dataclasses.replace(self.view, **changes))  # type: ignore[type-var]


def picture(seed: int, size: tuple[int, int] = (768, 512)) -> Image.Image:
    """A picture that looks like something."""
    image = Image.linear_gradient("L").resize(size)
    image = Image.merge("RGB", [image.rotate(40 * (seed + i)).resize(size) for i in range(3)])
    draw = ImageDraw.Draw(image)
    for i in range(6):
        x, y = (seed * 97 + i * 131) % size[0], (seed * 53 + i * 89) % size[1]
        draw.ellipse(
            [x - 60, y - 60, x + 60, y + 60], fill=((i * 40) % 255, 200 - i * 30, 90 + i * 25)
        )
    return image


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    picture(seed, (384, 256)).save(out, "JPEG")
    return out.getvalue()


def view(name: str = "portrait", **more: Any) -> JobView:
    given = {
        "id": name,
        "name": name,
        "status": JobStatus.PENDING,
        "progress": 0.0,
        "step": None,
        "backend": None,
        "created_at": utcnow(),
        "started_at": None,
        "completed_at": None,
        "error": None,
    }
    return JobView(**{**given, **more})


def saved(number: int) -> tuple[ImageView, ...]:
    folder = Path(tempfile.mkdtemp())
    views = []
    for seed in range(number):
        path = folder / f"ComfyUI_{seed:05}_.png"
        picture(seed).save(path)
        views.append(
            ImageView(path.name, path, "image/png", path.stat().st_size, "Save Image", 768, 512)
        )
    return tuple(views)


class FakeJob(Box[JobView]):
    """A job that samples on the event loop: awaitable, cancellable, watchable."""

    def __init__(self, name: str = "portrait", steps: int = 30, pause: float = 0.1) -> None:
        super().__init__(view(name))
        self.loop = asyncio.get_running_loop()
        self.steps, self.pause = steps, pause
        self.task = self.loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            self.change(status=JobStatus.RUNNING, backend="PC1 - RTX 4090", started_at=utcnow())
            for step in range(1, self.steps + 1):
                await asyncio.sleep(self.pause)
                self.change(
                    progress=100 * step / self.steps,
                    step=f"KSampler: {step}/{self.steps}",
                    preview=jpeg(step // 3),
                )
            images = await asyncio.to_thread(saved, 3)
            self.change(
                status=JobStatus.COMPLETED, progress=100.0, completed_at=utcnow(), images=images
            )
        except asyncio.CancelledError:
            self.change(status=JobStatus.CANCELLED, completed_at=utcnow())

    def cancel(self) -> None:
        self.loop.call_soon_threadsafe(self.task.cancel)

    def __await__(self) -> Any:
        async def done() -> str:
            await asyncio.wait([self.task])
            return self.view.status.value

        return done().__await__()

    def wait(self) -> str:
        import nest_asyncio2

        nest_asyncio2.apply(self.loop)

        async def done() -> str:
            await asyncio.wait([self.task])
            return self.view.status.value

        return self.loop.run_until_complete(done())


def backends() -> tuple[BackendView, ...]:
    def one(name: str, **more: Any) -> BackendView:
        given = {
            "id": name,
            "name": name,
            "url": "http://gpu1:8188",
            "enabled": True,
            "online": True,
            "version": "0.8.0",
            "gpu": "NVIDIA GeForce RTX 4090",
            "vram_total": 24564,
            "vram_used": 9800,
            "queue_depth": 0,
            "running": None,
            "tags": ("fast", "sdxl"),
            "capabilities": (),
            "last_seen": utcnow(),
            "error": None,
        }
        return BackendView(**{**given, **more})

    return (
        one("PC1 - RTX 4090", queue_depth=3, running="portrait 57 %"),
        one("PC2 - RTX 3060", gpu="NVIDIA GeForce RTX 3060", vram_total=12288, vram_used=11600),
        one(
            "basement",
            url="https://gpu3.example/comfy",
            online=False,
            vram_used=None,
            tags=(),
            error="basement does not answer at https://gpu3.example/comfy: connection refused; "
            "is ComfyUI running there?",
        ),
        one("spare", enabled=False, online=None, gpu=None, vram_total=None, vram_used=None),
    )


def parameter(
    name: str, kind: ParamType, default: Any, node: str = "KSampler", **limits: Any
) -> Any:
    return ExposedParameter(
        id=name,
        node_id="3",
        node_title=node,
        field_name=name,
        display_name=name.replace("_", " ").capitalize(),
        param_type=kind,
        default_value=default,
        constraints=limits or None,
        order=next(_orders),
    )


_orders = iter(range(10_000))


def check(one: ExposedParameter, value: Any) -> Any:
    limits = one.constraints
    if limits is None:
        return value
    if one.param_type in {ParamType.INT, ParamType.FLOAT}:
        if limits.min_value is not None and value < limits.min_value:
            raise InvalidValue(f"{one.display_name}: {value} is below {limits.min_value}.")
        if limits.max_value is not None and value > limits.max_value:
            raise InvalidValue(f"{one.display_name}: {value} is above {limits.max_value}.")
    if one.param_type is ParamType.CHOICE and value not in (limits.choices or []):
        raise InvalidValue(f"{one.display_name}: {value!r} is not available on any backend.")
    return value


def parameters() -> list[ExposedParameter]:
    models = [
        f"{kind}/{kind}_v{i:03}.safetensors"
        for kind in ("sdxl", "sd15", "flux")
        for i in range(100)
    ]
    prompt = "a portrait of an old fisherman, weathered face, soft window light, 85mm, film grain"
    return [
        parameter("positive", ParamType.MULTILINE_STRING, prompt, "CLIP Text Encode (Prompt)"),
        parameter(
            "negative", ParamType.MULTILINE_STRING, "blurry, text", "CLIP Text Encode (Negative)"
        ),
        parameter("seed", ParamType.INT, 2**64 - 2, min_value=0, max_value=2**64 - 1),
        parameter("steps", ParamType.INT, 20, min_value=1, max_value=10000),
        parameter("cfg", ParamType.FLOAT, 7.5, min_value=0.0, max_value=100.0, step=0.1),
        parameter("denoise", ParamType.FLOAT, 1.0, min_value=0.0, max_value=1.0, step=0.01),
        parameter("sampler_name", ParamType.CHOICE, "euler", choices=["euler", "heun", "dpmpp_2m"]),
        parameter("checkpoint", ParamType.CHOICE, models[7], "Load Checkpoint", choices=models),
        parameter(
            "image",
            ParamType.IMAGE_PATH,
            "example.png",
            "Load Image",
            file_extensions=[".png", ".jpg", ".webp"],
        ),
        parameter("filename_prefix", ParamType.STRING, "ComfyUI", "Save Image"),
        parameter("tiling", ParamType.BOOL, False),
    ]
