"""``build`` makes what ``model_construct`` makes, only sooner."""

import pytest

from comfynb.models import CanvasLayout, Job, NodeExecution, PromptRecord

CASES = [
    (NodeExecution, {"id": "n", "job_id": "j", "canvas_node_id": "c", "progress": 3.0}),
    (Job, {"id": "j", "project_id": "p", "canvas_snapshot": CanvasLayout()}),
    (PromptRecord, {"job_id": "j", "node_execution_id": "n", "backend_id": "b"}),
]


@pytest.mark.parametrize(("model", "values"), CASES)
def test_it_is_what_pydantic_makes(model, values):
    made, expected = model.build(**values), model.model_construct(**values)
    fresh = {"id", "prompt_id", "created_at"}  # another one each time
    assert made.model_dump(exclude=fresh) == expected.model_dump(exclude=fresh)
    assert list(made.model_dump()) == list(expected.model_dump())
    assert made.model_fields_set == expected.model_fields_set
    assert type(made).model_validate_json(made.model_dump_json()) == made
    assert {name: type(value) for name, value in made} == {
        name: type(value) for name, value in expected
    }


def test_two_share_nothing_that_can_change():
    values = CASES[0][1]
    one, other = NodeExecution.build(**values), NodeExecution.build(**values)
    one.input_data["changed"] = True
    assert other.input_data == {}
    one.progress = 5.0
    assert other.progress == 3.0


def test_what_must_be_given_is_missed():
    with pytest.raises(KeyError, match="canvas_node_id"):
        NodeExecution.build(id="n", job_id="j")
