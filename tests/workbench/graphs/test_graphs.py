"""Graphs are found again: by name, in the next session, renamed, and deleted."""

import pytest

from comfynb import Workbench
from comfynb.errors import NotFound, UsageError


def test_graphs_are_found_again_listed_renamed_and_deleted(faces, fleet):
    faces.save()
    assert fleet.graphs["faces"] is faces
    assert [graph.name for graph in fleet.graphs] == ["faces"]
    assert "faces" in fleet.graphs
    assert len(fleet.graphs) == 1
    assert repr(fleet.graphs) == "faces: 7 nodes"
    with pytest.raises(UsageError, match="There is a graph 'faces' already"):
        fleet.graphs.new("faces")
    fleet.graphs.rename("faces", "people")
    with pytest.raises(NotFound, match="No graph 'faces' was saved; there are: people"):
        fleet.graphs["faces"]
    fleet.graphs.new("faces")
    with pytest.raises(UsageError, match="choose another name"):
        fleet.graphs.rename("people", "faces")
    fleet.graphs.delete("faces")
    assert fleet.graphs._ipython_key_completions_() == ["people"]
    anew = fleet.graphs.new("people", replace=True)
    assert (anew.id, len(anew)) == (faces.id, 0)


def test_a_graph_is_there_in_the_next_session(faces, fleet, tmp_path):
    layout = faces.save().layout
    fleet.close()
    with Workbench(tmp_path / "lab.duckdb") as again:
        assert again.graphs["faces"].layout == layout
        assert again.graphs["faces"].check() == []


def test_without_an_answering_backend_the_ports_are_guessed_once(tmp_path, portrait, sandbox):
    with Workbench(tmp_path / "lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one")
        graph = wb.graphs.new("portraits")
        workflow = wb.workflows.load(portrait)
        graph.workflow(workflow, "sketch")
        graph.save()
        wb.backends.remove("one")
        wb.graphs.learn(workflow)
        first = wb.graphs.ports_of(workflow.id)
        assert first is not None
        assert wb.graphs.ports_of(workflow.id) is first
        assert [port.name for port in first.outputs]
