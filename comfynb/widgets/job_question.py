"""What a waiting node asks, which backend takes over: a sentence, a list, and two buttons."""

from collections.abc import Callable

import ipywidgets

from comfynb.engine.views import QuestionView
from comfynb.widgets.composite import html
from comfynb.widgets.job_nodes_text import question_sentence
from comfynb.widgets.live import call
from comfynb.widgets.markup import clean, one_line, user

__all__ = ["Answer", "QuestionBox"]

Answer = Callable[[QuestionView, str | None], object]
"""Takes the id of the chosen backend, or None to let the node fail; may return an awaitable."""


class QuestionBox(ipywidgets.VBox):  # type: ignore[misc]
    """One question. Choosing sends the answer; what comes back says whether it was taken."""

    def __init__(self, question: QuestionView, answer: Answer) -> None:
        self._question = question
        self._answer = answer
        self._words = html()
        self._trouble = html()
        self._choice = ipywidgets.Dropdown(options=[], layout={"width": "auto"})
        self._use = ipywidgets.Button(icon="check", layout={"width": "auto"})
        self._drop = ipywidgets.Button(description="Let it fail", layout={"width": "auto"})
        self._use.on_click(lambda _: self._tell(self._choice.value))
        self._drop.on_click(lambda _: self._tell(None))
        choosing = ipywidgets.HBox([self._choice, self._use, self._drop])
        choosing.add_class("comfynb-choosing")
        super().__init__([self._words, choosing, self._trouble])
        self.add_class("comfynb-question")
        self.show(question)

    def show(self, question: QuestionView) -> None:
        """The same question, perhaps with other backends to choose from; a choice stays."""
        self._question = question
        asked = user(question_sentence(question), 600)
        self._words.value = f'<div class="comfynb-warning">{asked}</div>'
        title = one_line(question.node_title, 60)
        options = [
            (one_line(f"{each.name} ({each.problem})" if each.problem else each.name, 100), each)
            for each in question.candidates
        ]
        wanted = [(label, each.backend_id) for label, each in options]
        if list(self._choice.options) != wanted:
            chosen = self._choice.value
            self._choice.options = wanted
            ids = [backend_id for _, backend_id in wanted]
            self._choice.value = chosen if chosen in ids else (ids[0] if ids else None)
        self._choice.description = "Backend"
        self._choice.tooltip = clean(f"The backend for {title}")
        self._use.description = "Use"
        self._use.tooltip = clean(f"Run {title} on this backend")
        self._drop.tooltip = clean(f"Choose none: {title} fails, with the reason")
        self._use.disabled = not wanted

    def _tell(self, backend_id: str | None) -> None:
        self._set(disabled=True)
        self._trouble.value = ""
        question = self._question
        call(lambda: self._answer(question, backend_id), lambda _: None, self._refused)

    def _refused(self, why: str) -> None:
        self._trouble.value = f'<div class="comfynb-problem" role="alert">{user(why, 400)}</div>'
        self._set(disabled=False)

    def _set(self, *, disabled: bool) -> None:
        for widget in (self._choice, self._use, self._drop):
            widget.disabled = disabled
