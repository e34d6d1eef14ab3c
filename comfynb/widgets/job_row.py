"""One job as a live row: status, progress, preview, pictures, error, and a Cancel button."""

from collections.abc import Callable

import ipywidgets

from comfynb.engine.views import JobView, Watchable
from comfynb.models import JobStatus, utcnow
from comfynb.widgets.composite import Composite, html, set_class
from comfynb.widgets.gallery import Gallery
from comfynb.widgets.job_text import error_html, head_html, line, nodes_html
from comfynb.widgets.live import Live, Ticker, call, current_loop, spawn
from comfynb.widgets.theme import look
from comfynb.widgets.thumbnails import THUMBNAIL, CannotShow, in_thread

__all__ = ["JobRow"]

PREVIEW_LIMIT = 60_000
"""Bytes of a preview that is sent as it came; a larger one (a whole PNG, say) is scaled first."""


class JobRow(Composite):
    """A live row for one job.

    ``job`` is watched weakly: a row that is closed or forgotten watches no more. ``cancel`` is what
    the button does; it must be thread-safe and may return an awaitable; without it there is no
    button. All that is shown lives in widgets, so it is there again after a page reload.
    """

    def __init__(self, job: Watchable[JobView], cancel: Callable[[], object] | None = None) -> None:
        self._job = job
        self._cancel = cancel
        self._cancelling = False
        self._trouble = ""
        self._status: JobStatus | None = None
        self._last_preview: bytes | None = None
        self._scaling = False
        self._preview: ipywidgets.Image | None = None
        self._gallery: Gallery | None = None
        self._head = html("", "comfynb-job-head")
        self._detail = html()
        self._button = ipywidgets.Button(
            description="Cancel", icon="stop", tooltip="Cancel this job", layout={"width": "auto"}
        )
        self._button.on_click(self._clicked)
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
        self._detail.value = (
            error_html(self._trouble) + error_html(view.error) + nodes_html(view.nodes)
        )
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
        if self._preview is not None and not view.status.is_terminal:
            children.append(self._preview)
        if self._gallery is not None:
            children.append(self._gallery)
        if tuple(children) != self.children[1:]:
            self.show_children(children)

    def _show_button(self, view: JobView) -> None:
        done = view.status.is_terminal
        self._button.disabled = done or self._cancelling
        self._button.description = "Cancelling…" if self._cancelling and not done else "Cancel"

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
        """The job in one line (two with an error)."""
        return line(self._job.view, utcnow())

    def body(self) -> str:
        """What stays in a saved notebook: the row as it is now, its pictures included."""
        view = self._job.view
        pictures = "" if self._gallery is None else self._gallery.body()
        return (
            f'<div class="comfynb-job {look(view.status).css_class}">{head_html(view, utcnow())}'
            f"{error_html(view.error)}{nodes_html(view.nodes)}{pictures}</div>"
        )

    def close(self) -> None:
        """Stop watching and close everything in the row."""
        if hasattr(self, "_live"):
            self._live.stop()
            self._ticker.stop()
        super().close()
