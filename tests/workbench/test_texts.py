"""Which texts are filled in when a job is made: what a person typed, not what only looks so."""

from comfynb.workbench.texts import Texts

INFO = {
    "Text": {
        "input": {
            "required": {
                "text": ["STRING", {"dynamicPrompts": True}],
                "plain": ["STRING", {}],
            }
        },
        "output": ["STRING"],
    },
    "SaveImage": {"input": {"required": {"filename_prefix": ["STRING", {}]}}, "output": []},
}
PROMPT = {
    "1": {"class_type": "Text", "inputs": {"text": "{a|b}", "plain": "{a|b}"}},
    "2": {"class_type": "Text", "inputs": {"text": "plain", "plain": ""}},
    "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "%date:yy%"}},
    "4": {"class_type": "Text", "inputs": {"text": ["1", 0], "plain": ""}},
}


def test_open_texts_are_resolved_by_chance() -> None:
    texts = Texts(PROMPT, INFO, {})
    assert texts.open == [("1", "text")]
    assert texts.dynamic({}) == ([("1", "text")], True)


def test_a_form_that_hands_over_what_is_there_changes_nothing() -> None:
    texts = Texts(PROMPT, INFO, {})
    same = {("1", "text"): "{a|b}", ("2", "text"): "plain"}
    assert texts.dynamic(same) == ([("1", "text")], True)


def test_given_texts_are_resolved_where_the_class_says_so() -> None:
    texts = Texts(PROMPT, INFO, {})
    given = {("1", "text"): "c", ("2", "text"): r"\{x|y\} // z", ("1", "plain"): "{d|e}"}
    assert texts.dynamic(given) == ([("2", "text")], False)
    assert texts.dynamic({("1", "text"): "{c|d}"}) == ([("1", "text")], True)


def test_braces_that_were_escaped_in_the_workflow_are_braces() -> None:
    escaped = {"nodes": [{"widgets_values": [r"\{a|b\}", "x"]}]}
    typed = {"definitions": {"subgraphs": [{"nodes": [{"widgets_values": ["{a|b}"]}]}]}}
    assert Texts(PROMPT, INFO, escaped).open == []
    assert Texts(PROMPT, INFO, escaped).dynamic({("1", "text"): "{a|b}"}) == ([], False)
    assert Texts(PROMPT, INFO, typed).open == [("1", "text")]


def test_dates_are_looked_for_in_file_names_as_they_will_be() -> None:
    texts = Texts(PROMPT, INFO, {})
    assert texts.dated({}) == [("3", "filename_prefix")]
    assert texts.dated({("3", "filename_prefix"): "x"}) == []
    assert texts.dated({("2", "plain"): "%date:yy%"}) == [("3", "filename_prefix")]
