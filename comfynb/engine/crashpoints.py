"""Named places where a test may kill this process, to show that nothing is lost there.

``COMFYNB_CRASH_AT="prompt posted:3"`` in the environment kills the process with SIGKILL when it
passes that place for the third time. Without the variable a crash point costs one comparison.
"""

import os
import signal

__all__ = ["CRASH_POINTS", "GRAPH_CRASH_POINTS", "VARIABLE", "crash_point"]

VARIABLE = "COMFYNB_CRASH_AT"

CRASH_POINTS = (
    "job stored",  # the job is committed, run() has not returned
    "prompt begun",  # the intent to send is committed, nothing was sent
    "prompt posted",  # the server has the prompt, nobody here has noted it
    "prompt runs",  # the websocket told that it runs
    "entry found",  # the history says that it ended, nothing was fetched
    "file fetched",  # one of its files lies on the disk, nothing is recorded
    "prompt finished",  # its end is queued for the store, the job's is not
    "job finished",  # everything is committed, nobody was told
)

GRAPH_CRASH_POINTS = (
    "decision made",  # a graph's next step is decided, nothing of it is stored
    "node ready stored",  # it is stored, nothing of it was begun
    "files delivered",  # an OUTPUT's files lie in their folder, nothing is recorded
    "answer stored",  # somebody chose a backend, the node does not go there yet
    "cancel stored",  # a job is to be cancelled, nothing of it was stopped
    "retry stored",  # a job goes on, nothing of it was begun
)

_name, _, _number = os.environ.get(VARIABLE, "").partition(":")
_left = int(_number or 1)


def crash_point(name: str) -> None:
    """Die here if the environment says so."""
    global _left  # noqa: PLW0603 - there is one process and one way to end it
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
