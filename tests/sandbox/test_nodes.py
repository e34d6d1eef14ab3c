"""The node classes: what they declare, and what each does beyond its pixels."""

import inspect
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfynb.sandbox.node import Context, Interrupted, OutOfMemoryError, OutsideFolderError, Result
from comfynb.sandbox.nodes import NODE_CLASSES

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("COMFYNB_SHARED", REPO.parent / "shared"))
VERSIONS = ("0.3.64", "0.8.0")
COLOUR = np.random.default_rng(3).random((1, 6, 9, 3), np.float32)


class Machine:
    """A server's folders, and what nodes reported."""

    def __init__(self, root: Path, version: str = "0.8.0") -> None:
        self.folders = {kind: root / kind for kind in ("input", "output", "temp")}
        for folder in self.folders.values():
            folder.mkdir(exist_ok=True)
        self.version = version
        self.memory: dict[str, Any] = {}
        self.loads: list[str] = []
        self.progress: list[tuple[float, float, Image.Image | None, str]] = []
        self.interrupt = threading.Event()

    def context(self, **changes: Any) -> Context:
        return Context(
            folders=self.folders,
            node_id="7",
            version=self.version,
            memory=self.memory,
            interrupt=self.interrupt,
            on_progress=lambda *report: self.progress.append(report),
            on_model_load=self.loads.append,
            **changes,
        )

    def execute(self, name: str, ctx: Context | None = None, /, **inputs: Any) -> Result:
        return NODE_CLASSES[name]().execute(ctx or self.context(), **inputs)

    def output(self, name: str, /, **inputs: Any) -> Any:
        (value,) = self.execute(name, **inputs).outputs
        return value


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def object_info(version: str) -> dict[str, Any]:
    (path,) = SHARED.glob(f"comfyui/conversion/comfyui-{version}_*/object_info.json") or (None,)
    return json.loads(path.read_text())


def without_texts(value: Any) -> Any:
    """Tooltips and descriptions are ours; everything else has to be ComfyUI's."""
    if isinstance(value, dict):
        texts = {"tooltip", "description"}
        return {k: without_texts(v) for k, v in value.items() if k not in texts}
    return [without_texts(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [n for n in NODE_CLASSES if not n.startswith("Lab")])
def test_declared_as_comfyui_does(name: str, version: str, machine: Machine) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no object_info to compare with: {SHARED} is not there")
    theirs = object_info(version).get(name)
    if theirs is None:
        # the recording server of 0.3.64 ran without its example node
        assert (name, version) == ("SaveImageWebsocket", "0.3.64")
        theirs = object_info("0.8.0")[name]
    ctx = machine_of(machine, version).context()
    node = NODE_CLASSES[name]
    ours = node.inputs(ctx)
    expected = without_texts(theirs["input"])
    for fields in expected.values():
        if "image_upload" in json.dumps(fields.get("image")):
            fields["image"][0] = []  # what lay in that server's input folder
    assert without_texts(ours) == expected
    assert {k: list(v) for k, v in ours.items()} == theirs["input_order"]
    assert [kind for kind, _ in node.OUTPUTS] == theirs["output"]
    assert [label for _, label in node.OUTPUTS] == theirs["output_name"]
    assert node.NAME == name == theirs["name"]
    assert theirs["output_node"] == node.OUTPUT_NODE
    assert theirs["category"] == node.CATEGORY
    assert theirs["python_module"] == node.PYTHON_MODULE
    more = node.object_info(ctx)
    common = set(theirs) - set(more)
    assert common == {
        "input", "input_order", "output", "output_is_list", "output_name", "name", "description",
        "python_module", "category", "output_node",
    }  # fmt: skip
    assert more == {key: theirs[key] for key in more}


def machine_of(machine: Machine, version: str) -> Machine:
    machine.version = version
    return machine


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NODE_CLASSES)
def test_declared_inputs_are_executes_parameters(name: str, version: str, machine: Machine) -> None:
    declared = NODE_CLASSES[name].inputs(machine_of(machine, version).context())
    names = set(declared["required"]) | set(declared.get("optional", {}))
    parameters = inspect.signature(NODE_CLASSES[name].execute).parameters
    assert names <= set(parameters)
    needed = {
        key
        for key, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and key not in {"self", "ctx"}
    }
    assert needed <= set(declared["required"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NODE_CLASSES)
def test_defaults_are_allowed(name: str, version: str, machine: Machine) -> None:
    declared = NODE_CLASSES[name].inputs(machine_of(machine, version).context())
    for kind, *rest in (
        spec for part in ("required", "optional") for spec in declared.get(part, {}).values()
    ):
        options = rest[0] if rest else {}
        default = options.get("default")
        if default is None:
            continue
        choices = kind if isinstance(kind, list) else options.get("options")
        if choices is not None:
            assert default in choices
        elif kind in {"INT", "FLOAT"}:
            assert options["min"] <= default <= options["max"]
            assert isinstance(default, int if kind == "INT" else float)
        else:
            assert isinstance(default, {"BOOLEAN": bool, "STRING": str}[kind])


def test_load_image_reads_from_all_three_folders(machine: Machine) -> None:
    for level, (kind, name) in enumerate(
        [("input", "a.png"), ("input", "sub/a.png"), ("output", "a.png"), ("temp", "a.png")]
    ):
        path = machine.folders[kind] / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (3, 2), (level, 0, 0)).save(path)
    names = ["a.png", "sub/a.png", "a.png [output]", "a.png [temp]"]
    levels = [
        machine.execute("LoadImage", image=name).outputs[0][0, 0, 0, 0] * 255 for name in names
    ]
    assert levels == pytest.approx([0, 1, 2, 3])
    ctx = machine.context()
    for node in (NODE_CLASSES["LoadImage"], NODE_CLASSES["LoadImageMask"]):
        assert node.inputs(ctx)["required"]["image"][0] == ["a.png"]
        assert [node.validate(ctx, image=name) for name in names] == [None] * 4
        assert node.validate(ctx, image="b.png") == "Invalid image file: b.png"
        assert node.validate(ctx, image="../output/a.png") is not None
    with pytest.raises(OutsideFolderError):
        machine.execute("LoadImage", image="../output/a.png")


@pytest.mark.parametrize("name", ["LoadImage", "LoadImageMask"])
def test_a_changed_file_is_noticed(name: str, machine: Machine) -> None:
    path, node = machine.folders["input"] / "a.png", NODE_CLASSES[name]
    path.write_bytes(b"one")
    first = node.fingerprint(machine.context(), image="a.png")
    assert node.fingerprint(machine.context(), image="a.png") == first
    path.write_bytes(b"two")
    assert node.fingerprint(machine.context(), image="a.png") != first
    assert node.fingerprint(machine.context(), image=None) is None


def test_save_image(machine: Machine) -> None:
    batch = np.concatenate([COLOUR, COLOUR * 2 - np.float32(0.5)])
    workflow = {"nodes": [], "extra": {"name": "Grüße </script>"}}
    prompt = {"7": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a/%width%"}}}
    ctx = machine.context(prompt=prompt, extra_pnginfo={"workflow": workflow})
    result = machine.execute("SaveImage", ctx, images=batch, filename_prefix="a/%width%")
    assert result.outputs == ()
    assert result.ui == {
        "images": [
            {"filename": "9_00001_.png", "subfolder": "a", "type": "output"},
            {"filename": "9_00002_.png", "subfolder": "a", "type": "output"},
        ]
    }
    for index, picture in enumerate(batch):
        with Image.open(machine.folders["output"] / f"a/9_0000{index + 1}_.png") as saved:
            assert (saved.format, saved.mode) == ("PNG", "RGB")
            assert json.loads(saved.info["prompt"]) == prompt
            assert json.loads(saved.info["workflow"]) == workflow
            levels = np.asarray(saved)
        # cut off, not rounded, and clipped
        assert np.array_equal(levels, np.clip(np.float32(255) * picture, 0, 255).astype(np.uint8))
    again = machine.execute("SaveImage", ctx, images=COLOUR, filename_prefix="a/%width%")
    assert again.ui["images"][0]["filename"] == "9_00003_.png"


def test_save_image_keeps_alpha(machine: Machine) -> None:
    pixels = np.concatenate([COLOUR, COLOUR[..., :1]], axis=-1)
    machine.execute("SaveImage", images=pixels, filename_prefix="x")
    with Image.open(machine.folders["output"] / "x_00001_.png") as saved:
        assert saved.mode == "RGBA"


def test_save_image_stays_in_its_folder(machine: Machine) -> None:
    with pytest.raises(OutsideFolderError, match="filename_prefix"):
        machine.execute("SaveImage", images=COLOUR, filename_prefix="../input/x")
    assert list(machine.folders["input"].iterdir()) == []


def test_preview_image(machine: Machine) -> None:
    ctx = machine.context()
    first = machine.execute("PreviewImage", ctx, images=COLOUR).ui["images"]
    second = machine.execute("PreviewImage", ctx, images=COLOUR).ui["images"]
    other = machine.execute("PreviewImage", images=COLOUR).ui["images"]
    assert [entry["type"] for entry in first] == ["temp"]
    assert first[0]["subfolder"] == ""
    prefix, number = first[0]["filename"].rsplit("_", 2)[:2]
    assert prefix.startswith("ComfyUI_temp_")
    assert len(prefix) == len("ComfyUI_temp_") + 5
    assert number == "00001"
    assert second[0]["filename"] == f"{prefix}_00002_.png"
    assert not other[0]["filename"].startswith(prefix)
    assert (machine.folders["temp"] / first[0]["filename"]).is_file()
    assert not list(machine.folders["output"].iterdir())


def test_save_image_websocket_sends_pngs(machine: Machine) -> None:
    batch = np.concatenate([COLOUR, COLOUR[:, ::-1]])
    result = machine.execute("SaveImageWebsocket", images=batch)
    assert (result.outputs, result.ui) == ((), None)
    assert [report[:2] + report[3:] for report in machine.progress] == [
        (0, 2, "PNG"),
        (1, 2, "PNG"),
    ]
    for (_, _, picture, _), pixels in zip(machine.progress, batch, strict=True):
        assert np.array_equal(np.asarray(picture), (np.float32(255) * pixels).astype(np.uint8))
    print_ = NODE_CLASSES["SaveImageWebsocket"].fingerprint(machine.context(), images=None)
    assert print_ != print_  # noqa: PLR0124 - never equal, so never cached


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(0, 0, (6, 9)), (18, 0, (12, 18)), (0, 2, (2, 3)), (1, 0, (1, 1)), (4, 5, (5, 4))],
)
def test_image_scale(width: int, height: int, shape: tuple[int, int], machine: Machine) -> None:
    scaled = machine.output(
        "ImageScale",
        image=COLOUR, upscale_method="area", width=width, height=height, crop="disabled",
    )  # fmt: skip
    assert scaled.shape == (1, *shape, 3)


def test_image_scale_by_rounds_to_even(machine: Machine) -> None:
    pixels = np.zeros((1, 5, 7, 3), np.float32)
    scaled = machine.output("ImageScaleBy", image=pixels, upscale_method="area", scale_by=0.5)
    assert scaled.shape == (1, 2, 4, 3)  # 2.5 and 3.5


def test_image_scale_to_total_pixels(machine: Machine) -> None:
    inputs = {"image": COLOUR, "upscale_method": "nearest-exact", "megapixels": 0.02}
    scaled = machine.output("ImageScaleToTotalPixels", **inputs)
    assert scaled.shape == (1, 118, 177, 3)
    stepped = machine.output("ImageScaleToTotalPixels", **inputs, resolution_steps=16)
    assert stepped.shape == (1, 112, 176, 3)


@pytest.mark.parametrize(
    ("old", "new"), [((6, 9), (7, 10)), ((9, 6), (10, 7)), ((4, 4), (10, 10)), ((1, 90), (0, 10))]
)
def test_image_scale_to_max_dimension(
    old: tuple[int, int], new: tuple[int, int], machine: Machine
) -> None:
    inputs = {"image": np.zeros((1, *old, 3), np.float32), "upscale_method": "area"}
    if 0 in new:
        with pytest.raises(RuntimeError, match="greater than 0"):
            machine.output("ImageScaleToMaxDimension", **inputs, largest_size=10)
        return
    scaled = machine.output("ImageScaleToMaxDimension", **inputs, largest_size=10)
    assert scaled.shape[1:3] == new


@pytest.mark.parametrize(
    ("rectangle", "rows", "columns"),
    [
        ((4, 3, 2, 1), slice(1, 4), slice(2, 6)),
        ((500, 500, 2, 1), slice(1, 6), slice(2, 9)),
        ((4, 3, 500, 500), slice(5, 6), slice(8, 9)),
    ],
)
def test_image_crop(
    rectangle: tuple[int, int, int, int], rows: slice, columns: slice, machine: Machine
) -> None:
    width, height, x, y = rectangle
    cut = machine.output("ImageCrop", image=COLOUR, width=width, height=height, x=x, y=y)
    assert np.array_equal(cut, COLOUR[:, rows, columns])


def test_rotations_are_clockwise(machine: Machine) -> None:
    turned = COLOUR
    for rotation in ("none", "90 degrees", "180 degrees", "270 degrees"):
        assert np.array_equal(
            machine.output("ImageRotate", image=COLOUR, rotation=rotation), turned
        )
        turned = turned[:, ::-1].transpose(0, 2, 1, 3)
    assert np.array_equal(turned, COLOUR)


def test_flips(machine: Machine) -> None:
    flip = {"image": COLOUR, "flip_method": "x-axis: vertically"}
    assert np.array_equal(machine.output("ImageFlip", **flip), COLOUR[:, ::-1])
    flip["flip_method"] = "y-axis: horizontally"
    assert np.array_equal(machine.output("ImageFlip", **flip), COLOUR[:, :, ::-1])


def test_batches(machine: Machine) -> None:
    batch = machine.output("ImageBatch", image1=COLOUR, image2=1 - COLOUR)
    assert np.array_equal(batch, np.concatenate([COLOUR, 1 - COLOUR]))
    repeated = machine.output("RepeatImageBatch", image=batch, amount=2)
    assert np.array_equal(repeated, np.concatenate([batch, batch]))
    taken = [
        len(machine.output("ImageFromBatch", image=repeated, batch_index=index, length=length))
        for index, length in ((0, 1), (1, 2), (3, 9), (50, 9))
    ]
    assert taken == [1, 2, 1, 1]
    last = machine.output("ImageFromBatch", image=repeated, batch_index=50, length=1)
    assert np.array_equal(last, 1 - COLOUR)


def test_stitch_needs_no_second(machine: Machine) -> None:
    inputs = {"direction": "up", "match_image_size": True, "spacing_width": 0}
    joined = machine.output("ImageStitch", image1=COLOUR, spacing_color="red", **inputs)
    assert joined is COLOUR


def test_masks(machine: Machine) -> None:
    solid = machine.output("SolidMask", value=0.25, width=4, height=3)
    assert (solid.shape, solid.dtype) == ((1, 3, 4), np.float32)
    inverted = machine.output("InvertMask", mask=solid)
    assert (inverted == 0.75).all()
    shown = machine.output("MaskToImage", mask=inverted)
    assert shown.shape == (1, 3, 4, 3)
    assert np.array_equal(machine.output("ImageToMask", image=shown, channel="blue"), inverted)
    red = machine.output("EmptyImage", width=4, height=3, batch_size=2, color=0xFF8000)
    assert red[1, 2, 3].tolist() == pytest.approx([1.0, 128 / 255, 0.0])
    assert machine.output("ImageColorToMask", image=red, color=0xFF8000).sum() == 24
    assert machine.output("ImageColorToMask", image=red, color=0xFF8001).sum() == 0


def test_nodes_leave_their_inputs_alone(machine: Machine) -> None:
    pixels, mask = COLOUR.copy(), COLOUR[..., 0].copy()
    pixels.flags.writeable = mask.flags.writeable = False
    machine.execute("ImageBlur", image=pixels, blur_radius=2, sigma=1.0)
    machine.execute("ImageSharpen", image=pixels, sharpen_radius=2, sigma=1.0, alpha=1.0)
    machine.execute("ImageQuantize", image=pixels, colors=4, dither="bayer-2")
    machine.execute(
        "ImageCompositeMasked",
        destination=pixels, source=pixels, x=1, y=1, resize_source=False, mask=mask,
    )  # fmt: skip
    machine.execute("GrowMask", mask=mask, expand=1, tapered_corners=True)
    machine.execute(
        "ImagePadForOutpaint", image=pixels, left=1, top=1, right=1, bottom=1, feathering=1
    )


def test_lab_loader_waits_and_counts(machine: Machine) -> None:
    waited: list[float] = []
    ctx = machine.context()
    ctx.sleep = waited.append  # type: ignore[method-assign]
    result = machine.execute("LabLoader", ctx, name="small.safetensors", seconds=30.0)
    assert result.outputs[0].name == "small.safetensors"
    assert waited == [30.0]
    assert machine.loads == ["small.safetensors"]


def sample(machine: Machine, ctx: Context | None = None, /, **changes: Any) -> np.ndarray:
    model = machine.output("LabLoader", name=changes.pop("name", "xl.safetensors"), seconds=0)
    inputs = {"model": model, "seed": 5, "steps": 4, "seconds_per_step": 0, "text": "a cat"}
    (pixels,) = machine.execute("LabSampler", ctx, **{**inputs, **changes}).outputs
    return pixels


def test_lab_sampler_gives_pictures(machine: Machine) -> None:
    pixels = sample(machine, batch_size=2, width=64, height=40)
    assert (pixels.shape, pixels.dtype) == ((2, 40, 64, 3), np.float32)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert not np.array_equal(pixels[0], pixels[1])
    assert pixels.std() > 0.05


def test_lab_sampler_depends_on_its_inputs_alone(machine: Machine) -> None:
    first = sample(machine)
    assert np.array_equal(sample(machine), first)
    assert np.array_equal(sample(machine, seconds_per_step=1e-6), first)
    for change in (
        {"seed": 6},
        {"seed": 2**64 - 1},
        {"steps": 5},
        {"text": "a dog"},
        {"name": "small.safetensors"},
    ):
        assert not np.array_equal(sample(machine, **change), first), change


def test_lab_sampler_reports_each_step(machine: Machine) -> None:
    sample(machine)
    assert [report[:3] for report in machine.progress] == [(n, 4, None) for n in (1, 2, 3, 4)]


def test_lab_sampler_sends_previews_when_asked(machine: Machine) -> None:
    final = sample(machine, machine.context(preview_method="latent2rgb"), width=128, height=64)
    previews = [report[2] for report in machine.progress]
    assert {preview.size for preview in previews} == {(16, 8)}
    assert {report[3] for report in machine.progress} == {"JPEG"}
    small = np.asarray(Image.fromarray((final[0] * 255).astype(np.uint8)).resize((16, 8)), float)
    off = [np.abs(np.asarray(preview, float) - small).mean() for preview in previews]
    assert off == sorted(off, reverse=True)  # it clears up
    previews[-1].save(io.BytesIO(), "JPEG")


def test_lab_sampler_stops_at_a_step(machine: Machine) -> None:
    def stop(value: float, *_: object) -> None:
        if value == 3:
            machine.interrupt.set()

    ctx = machine.context()
    ctx.on_progress = stop
    with pytest.raises(Interrupted):
        sample(machine, ctx, steps=100)
    machine.interrupt.set()
    with pytest.raises(Interrupted):
        sample(machine)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("error", RuntimeError, "lab failure 1 of 2 for k"),
        ("oom", OutOfMemoryError, r"Allocation on device \(lab\)"),
    ],
)
def test_lab_fail_fails_so_many_times(
    kind: str, error: type[Exception], message: str, machine: Machine
) -> None:
    inputs = {"image": COLOUR, "key": "k", "times": 2, "kind": kind}
    with pytest.raises(error, match=message) as raised:
        machine.execute("LabFail", **inputs)
    assert type(raised.value) is error
    with pytest.raises(error):
        machine.execute("LabFail", **inputs)
    assert machine.output("LabFail", **inputs) is COLOUR
    assert machine.output("LabFail", **{**inputs, "times": 0, "key": "other"}) is COLOUR
    machine.memory.clear()  # another server
    with pytest.raises(error):
        machine.execute("LabFail", **inputs)
