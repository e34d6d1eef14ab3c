"""Keeps Python's search for cyclic garbage from stopping the event loop for tenths of a second."""

import atexit
import gc

__all__ = ["settle_heap"]

_settled = False


def settle_heap() -> None:
    """Leave what is alive now (modules, classes, functions) out of later searches; once.

    A full search looks at every container in the process, and a kernel with pandas and plotly has
    half a million of them: it stopped the loop for up to 180 ms, and progress, clicks and hand-outs
    with it. What is freed by its last reference, a data frame for example, is freed as before; only
    a cycle that exists already and is dropped later stays.
    """
    global _settled  # noqa: PLW0603 - the collector is one for the whole process
    if _settled or not gc.isenabled():
        return
    _settled = True
    gc.collect()
    gc.freeze()
    # At the very end cycles are wanted back: DuckDB's bindings report what is not freed by then.
    atexit.register(gc.unfreeze)
