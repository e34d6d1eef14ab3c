from typing import Any

import pytest
import traitlets

from comfynb.widgets import BackendPicker


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from comfynb.widgets import live

    monkeypatch.setattr(live, "pause_after", lambda _: 0.0)
    monkeypatch.setattr(live, "INTERVAL", 0.0)


@pytest.fixture
def fleet(box: Any, backend_view: Any) -> Any:
    return box(tuple(backend_view(name) for name in ("PC1", "PC2", "PC3")))


def test_boxes_and_value_are_one(fleet: Any) -> None:
    picker = BackendPicker(fleet)
    seen: list[list[str]] = []
    picker.observe(lambda change: seen.append(change["new"]), "value")
    picker._boxes["id-PC3"].value = True
    picker._boxes["id-PC1"].value = True
    assert picker.value == ["id-PC1", "id-PC3"]
    assert seen == [["id-PC3"], ["id-PC1", "id-PC3"]]
    picker.value = ["id-PC2"]
    assert [box.value for box in picker._boxes.values()] == [False, True, False]
    assert picker.plain() == "PC2 · online · RTX 4090 · 2 in its queue"
    picker.value = []
    assert picker.plain() == "any backend that is free"


def test_one_of_them(fleet: Any) -> None:
    picker = BackendPicker(fleet, multiple=False, value=["id-PC2"])
    assert picker._choice.value == "id-PC2"
    picker._choice.value = ""
    assert picker.value == []
    with pytest.raises(traitlets.TraitError, match="one backend"):
        picker.value = ["id-PC1", "id-PC2"]


def test_unknown_ids_are_refused_by_name(fleet: Any) -> None:
    with pytest.raises(traitlets.TraitError, match="nobody"):
        BackendPicker(fleet, value=["nobody"])


@pytest.mark.parametrize("multiple", [True, False])
def test_the_choice_follows_the_fleet(fleet: Any, backend_view: Any, multiple: bool) -> None:
    picker = BackendPicker(fleet, multiple=multiple, value=["id-PC2"])
    fleet.push((backend_view("PC1"), backend_view("PC2", online=False)))
    assert picker.value == ["id-PC2"]
    assert "none of these is online" in picker._note.value
    fleet.push((backend_view("PC1"),))
    assert picker.value == []
    fleet.push(())
    assert picker._note.value == "no backends yet"


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing(fleet: Any) -> None:
    BackendPicker(fleet).close()
    BackendPicker(fleet, multiple=False).close()
    assert fleet.callbacks == []


def test_hostile_names_are_labels(box: Any, backend_view: Any, hostile: str) -> None:
    fleet = box((backend_view("id", name=hostile, gpu=hostile),))
    picker = BackendPicker(fleet)
    # Descriptions are set as text, not as markup; they only must be one line that can be sent.
    assert not picker._boxes["id-id"].description_allow_html
    assert len(picker._boxes["id-id"].description.splitlines()) == 1
    picker._boxes["id-id"].description.encode()
    BackendPicker(fleet, multiple=False)
