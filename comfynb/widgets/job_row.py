"""One job as a live row: status, progress, nodes, questions, preview, pictures, error, buttons."""

from collections.abc import Callable

import ipywidgets

from comfynb.engine.views import JobView, Watchable
from comfynb.models import JobStatus, utcnow
from comfynb.widgets.composite import Composite, close_tree, html, set_class
from comfynb.widgets.gallery import Gallery
from comfynb.widgets.job_nodes import NodeLines
from comfynb.widgets.job_nodes_text import is_graph, nodes_html, nodes_text
from comfynb.widgets.job_question import Answer, QuestionBox
from comfynb.widgets.job_text import error_html, head_html, line
from comfynb.widgets.live import Live, Ticker, call, current_loop, spawn
from comfynb.widgets.markup import sentence
from comfynb.widgets.theme import look
from comfynb.widgets.thumbnails import THUMBNAIL, CannotShow, in_thread

__all__ = ["JobRow"]

PREVIEW_LIMIT = 60_000
"""Bytes of a preview that is sent as it came; a larger one (a whole PNG, say) is scaled first."""


class JobRow(Composite):
    """A live row for one job.

    ``job`` is watched weakly: a row that is closed or forgotten watches no more. ``cancel``,
    ``pause``, ``resume`` and ``retry`` are what the buttons do; each must be thread-safe and may
    return an awaitable; without it there is no such button. ``answer`` gets a question and the id
    of the backend that was chosen for it. All that is shown lives in widgets, so it is there again
    after a page reload.
    """

    def __init__(
        self,
        job: Watchable[JobView],
        cancel: Callable[[], object] | None = None,
        *,
        pause: Callable[[], object] | None = None,
        resume: Callable[[], object] | None = None,
        retry: Callable[[], object] | None = None,
        answer: Answer | None = None,
    ) -> None:
        self._job = job
        self._cancel = cancel
        self._answer = answer
        self._cancelling = False
        self._trouble = ""
        self._status: JobStatus | None = None
        self._last_preview: bytes | None = None
        self._scaling = False
        self._preview: ipywidgets.Image | None = None
        self._gallery: Gallery | None = None
        self._nodes: NodeLines | None = None
        self._questions: dict[str, QuestionBox] = {}
        self._head = html("", "comfynb-job-head")
        self._detail = html()
        self._button = _button("Cancel", "stop", "Cancel this job")
        self._button.on_click(self._clicked)
        self._others = {
            name: (_button(name.capitalize(), icon, tooltip), action)
            for name, icon, tooltip, action in (
                ("pause", "pause", "Send nothing more of this job; what runs now ends", pause),
                ("resume", "play", "Go on with this job", resume),
                ("retry", "repeat", "Run again what failed; what completed stays", retry),
            )
            if action is not None
        }
        for button, action in self._others.values():
            button.on_click(self._doing(action))
        self._top = ipywidgets.HBox([self._head, *([self._button] if cancel else [])])
        self._top.add_class("comfynb-job-top")
        super().__init__([self._top])
        self.add_class("comfynb-job")
        self._ticker = Ticker(self._tick)
        self._live: Live[JobView] = Live(job, self._show)
        self._show(job.view)

    @property
    def view(self) -> JobView:
        """The job's current snapshot."""
        return self._job.view

    def _show(self, view: JobView) -> None:
        if self._status is not view.status:
            if self._status is not None:
                set_class(self, look(self._status).css_class, on=False)
            set_class(self, look(view.status).css_class, on=True)
            self._status = view.status
        self._head.value = head_html(view, utcnow())
        self._detail.value = error_html(self._trouble) + error_html(_error_of(view))
        self._show_nodes(view)
        self._show_questions(view)
        self._show_button(view)
        self._show_preview(view)
        if view.images:
            if self._gallery is None:
                self._gallery = Gallery(view.images, arrangement="strip", page=12)
            else:
                self._gallery.show(view.images)
        self._arrange(view)
        if not view.status.is_terminal:
            self._ticker.start()

    def _arrange(self, view: JobView) -> None:
        children: list[ipywidgets.Widget] = [self._top]
        if self._detail.value:
            children.append(self._detail)
        children += self._questions.values()
        if self._nodes is not None:
            children.append(self._nodes)
        if self._preview is not None and not view.status.is_terminal:
            children.append(self._preview)
        if self._gallery is not None:
            children.append(self._gallery)
        if tuple(children) != self.children[1:]:
            self.show_children(children)

    def _show_nodes(self, view: JobView) -> None:
        if not is_graph(view):
            return
        if self._nodes is None:
            self._nodes = NodeLines()
        self._nodes.show(view, utcnow())

    def _show_questions(self, view: JobView) -> None:
        if self._answer is None:
            return
        gone = dict(self._questions)
        for question in () if view.status.is_terminal else view.questions:
            box = gone.pop(question.canvas_node_id, None)
            if box is None:
                self._questions[question.canvas_node_id] = QuestionBox(question, self._answer)
            else:
                box.show(question)
        for node_id, box in gone.items():
            del self._questions[node_id]
            close_tree(box)

    def _show_button(self, view: JobView) -> None:
        done = view.status.is_terminal
        self._button.disabled = done or self._cancelling
        self._button.description = "Cancelling…" if self._cancelling and not done else "Cancel"
        fitting = _fitting(view)
        shown = [button for name, (button, _) in self._others.items() if name == fitting]
        if self._cancel is not None and not (done and shown):
            shown.append(self._button)
        if (self._head, *shown) != self._top.children:
            self._top.children = (self._head, *shown)
            for button in shown:
                button.disabled = button is self._button and button.disabled

    def _doing(self, action: Callable[[], object]) -> Callable[[ipywidgets.Button], None]:
        def clicked(button: ipywidgets.Button) -> None:
            button.disabled = True
            self._trouble = ""
            call(action, lambda _: None, lambda why: self._not_done(button, why))

        return clicked

    def _not_done(self, button: ipywidgets.Button, why: str) -> None:
        button.disabled = False
        self._trouble = why
        self._show(self._job.view)

    def _show_preview(self, view: JobView) -> None:
        data = view.preview
        if view.status.is_terminal:
            if self._preview is not None and self._preview.value:
                self._preview.value = b""  # keep it out of the saved notebook
            return
        if data is None or data is self._last_preview or self._scaling:
            return
        self._last_preview = data
        if len(data) <= PREVIEW_LIMIT:
            self._set_preview(data, view.preview_type)
        elif current_loop() is not None:
            self._scaling = True
            spawn(self._scale(data))

    async def _scale(self, data: bytes) -> None:
        try:
            picture = await in_thread(data, THUMBNAIL)
        except CannotShow:
            return  # a preview that is no picture: the next one may be
        finally:
            self._scaling = False
        if self.comm is not None and not self._job.view.status.is_terminal:
            self._set_preview(picture.data, picture.media_type)
            self._arrange(self._job.view)

    def _set_preview(self, data: bytes, media_type: str) -> None:
        kind = media_type.partition("/")[2] or "jpeg"
        if self._preview is None:
            self._preview = ipywidgets.Image(value=data, format=kind)
            self._preview.add_class("comfynb-preview")
        else:
            with self._preview.hold_sync():
                self._preview.format = kind
                self._preview.value = data

    def _tick(self) -> bool:
        view = self._job.view
        if self.comm is None:
            return False
        self._head.value = head_html(view, utcnow())
        self._show_nodes(view)
        return not view.status.is_terminal

    def _clicked(self, _: object) -> None:
        if self._cancel is None or self._cancelling or self._job.view.status.is_terminal:
            return
        self._cancelling = True
        self._trouble = ""
        self._show_button(self._job.view)
        call(self._cancel, lambda _: None, self._not_cancelled)

    def _not_cancelled(self, why: str) -> None:
        self._cancelling = False
        self._trouble = why
        self._show(self._job.view)

    def plain(self) -> str:
        """The job in one line (two with an error), and one for each node of a graph."""
        view, now = self._job.view, utcnow()
        return "\n".join(part for part in (line(view, now), nodes_text(view, now)) if part)

    def body(self) -> str:
        """What stays in a saved notebook: the row as it is now, its pictures included."""
        view = self._job.view
        pictures = "" if self._gallery is None else self._gallery.body()
        return (
            f'<div class="comfynb-job {look(view.status).css_class}">{head_html(view, utcnow())}'
            f"{error_html(_error_of(view))}{nodes_html(view, utcnow())}{pictures}</div>"
        )

    def close(self) -> None:
        """Stop watching and close everything in the row."""
        if hasattr(self, "_live"):
            self._live.stop()
            self._ticker.stop()
        super().close()


def _button(description: str, icon: str, tooltip: str) -> ipywidgets.Button:
    return ipywidgets.Button(
        description=description, icon=icon, tooltip=tooltip, layout={"width": "auto"}
    )


def _fitting(view: JobView) -> str | None:
    """The button beside Cancel: pausing is for graphs, whose parts are sent one after another."""
    if view.status in {JobStatus.FAILED, JobStatus.LOST, JobStatus.CANCELLED}:
        return "retry"
    if view.status is JobStatus.PAUSED:
        return "resume"
    return "pause" if is_graph(view) and not view.status.is_terminal else None


def _error_of(view: JobView) -> str | None:
    """The job's error, unless a node's line says the same, with the details beneath it."""
    if view.error and is_graph(view):
        said = {sentence(node.error)[0] for node in view.nodes if node.error}
        if sentence(view.error)[0] in said:
            return None
    return view.error
