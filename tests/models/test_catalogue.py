"""What the catalogue knows beyond the seed is as strict as the seed's own tables."""

import pytest
from pydantic import ValidationError

from comfynb.models import (
    DeploymentWorkflow,
    LockRecord,
    ModelVersion,
    NodeFacts,
    NodeVersion,
    explain,
)

VERSION = {
    "modelId": "m",
    "name": "v1.0",
    "filename": "m.safetensors",
    "downloadUrl": "https://example.org/m.safetensors",
}
RELEASE = {"customNodeId": "n", "version": "1.2.0"}
FACTS = {"customNodeId": "n"}
RECORD = {"deploymentId": "d", "content": {}, "sha256": "0" * 64}
MADE_FROM = {"deploymentId": "d"}
CASES = [
    (ModelVersion, VERSION, "filename", "../m.ckpt", "a file name without a folder"),
    (ModelVersion, VERSION, "filename", "-o.ckpt", "not starting with a hyphen"),
    (ModelVersion, VERSION, "downloadUrl", "ftp://example.org/m", "http:// or https://"),
    (ModelVersion, VERSION, "downloadUrl", "https://a.org/?token=x", "without a token"),
    (ModelVersion, VERSION, "fileSize", -1, "greater than or equal to 0, not -1"),
    (ModelVersion, VERSION, "sha256", "ABC", "64 lower-case hexadecimal digits"),
    (ModelVersion, VERSION, "name", "a\nb", "one line"),
    (ModelVersion, VERSION, "revision", "", "must not be empty"),
    (ModelVersion, VERSION, "publishedAt", "some day", "valid datetime"),
    (NodeVersion, RELEASE, "version", "", "must not be empty"),
    (NodeVersion, RELEASE, "commit", "main", "a whole commit id, 40 hexadecimal digits"),
    (NodeVersion, RELEASE, "commit", "0" * 39, "a whole commit id, 40 hexadecimal digits"),
    (NodeVersion, RELEASE, "downloadUrl", "node.zip", "http:// or https://"),
    (NodeVersion, RELEASE, "dependencies", [""], "must not be empty"),
    (NodeVersion, RELEASE, "dependencies", "numpy", "must be JSON"),
    (NodeFacts, FACTS, "stars", -1, "greater than or equal to 0, not -1"),
    (NodeFacts, FACTS, "authorAgeDays", -1, "greater than or equal to 0, not -1"),
    (NodeFacts, FACTS, "preempts", '{"a": 1}', "valid list"),
    (NodeFacts, FACTS, "sources", [], "valid dictionary"),
    (NodeFacts, FACTS, "registryId", "\x1b[2J", "without control characters"),
    (LockRecord, RECORD, "sha256", "x" * 64, "64 lower-case hexadecimal digits"),
    (LockRecord, RECORD, "content", "{}", "valid dictionary"),
    (LockRecord, RECORD, "userId", "u", "there is no such field"),
    (DeploymentWorkflow, MADE_FROM, "workflowJson", [], "valid dictionary"),
    (DeploymentWorkflow, MADE_FROM, "choices", ["A"], "valid dictionary"),
]


@pytest.mark.parametrize(("model", "good", "field", "bad", "says"), CASES)
def test_a_bad_value_is_refused_in_words(model, good, field, bad, says):
    model(**good)
    with pytest.raises(ValidationError) as caught:
        model(**{**good, field: bad})
    sentence = explain(caught.value)
    assert sentence.startswith(f"{model.__name__}.{field}")
    assert says in sentence
    assert "\n" not in sentence


def test_lists_are_taken_as_json_text_too():
    facts = NodeFacts.model_validate({**FACTS, "preempts": '["A"]', "aptPackages": "[]"})
    assert (facts.preempts, facts.aptPackages, facts.files) == (["A"], [], [])


def test_what_hangs_on_a_row_goes_with_it():
    for model in (ModelVersion, NodeVersion, NodeFacts, LockRecord, DeploymentWorkflow):
        assert {key.on_delete for key in model.foreign_keys.values()} == {"cascade"}
