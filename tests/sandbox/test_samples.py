"""What newcomers find in a sandbox works at once."""

import io
import json

import pytest
from PIL import Image

from comfynb.sandbox import in_process, workflow_names, workflow_text


@pytest.mark.parametrize("name", workflow_names())
@pytest.mark.parametrize("version", ["0.3.64", "0.8.0"])
async def test_sample_workflows_make_pictures(serve, connect, name, version):
    client = await connect(await serve(samples=True, version=version, speed=100))
    entry = await client.run(json.loads(workflow_text(name, api=True)))
    assert entry["status"]["status_str"] == "success"
    images = [image for output in entry["outputs"].values() for image in output["images"]]
    assert "output" in {image["type"] for image in images}
    for image in images:
        body = await client.get("/view", params=image)
        picture = Image.open(io.BytesIO(body))
        assert len(picture.getcolors(1 << 20)) > 10


@pytest.mark.parametrize("name", workflow_names())
def test_both_forms_of_a_sample_say_the_same(name):
    workflow = json.loads(workflow_text(name))
    prompt = json.loads(workflow_text(name, api=True))
    nodes = {str(node["id"]): node for node in workflow["nodes"] if node["type"] != "MarkdownNote"}
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    assert nodes.keys() == prompt.keys()
    for node_id, node in nodes.items():
        api = prompt[node_id]
        assert (api["class_type"], api["_meta"]["title"]) == (node["type"], node["title"])
        linked = {i["name"]: links[i["link"]] for i in node["inputs"] if i["link"] is not None}
        assert linked == {k: v for k, v in api["inputs"].items() if isinstance(v, list)}
        values = [v for v in api["inputs"].values() if not isinstance(v, list)]
        rest = iter(node["widgets_values"])
        assert all(any(value == found for found in rest) for value in values)
    for link_id, source, slot, target, place, kind in workflow["links"]:
        output = nodes[str(source)]["outputs"][slot]
        assert link_id in output["links"]
        assert nodes[str(target)]["inputs"][place]["link"] == link_id
        assert output["type"] == kind


async def test_samples_are_not_written_over(tmp_path):
    picture = tmp_path / "input" / "portrait.png"
    async with in_process(base_dir=tmp_path):
        with Image.open(picture) as shown:
            assert shown.size == (512, 640)
    picture.write_bytes(b"mine")
    async with in_process(base_dir=tmp_path, samples=True):
        assert picture.read_bytes() == b"mine"
    (tmp_path / "input" / "gradient.png").unlink()
    async with in_process(base_dir=tmp_path):
        assert not (tmp_path / "input" / "gradient.png").exists()


async def test_the_temporary_folder_is_emptied_at_start_and_output_kept(tmp_path):
    for kind in ("temp", "output"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "old.png").write_bytes(b"old")
    async with in_process(base_dir=tmp_path, samples=False):
        assert list((tmp_path / "temp").iterdir()) == []
        assert (tmp_path / "output" / "old.png").exists()
