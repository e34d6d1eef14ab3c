"""How long the slowest attempt to exhaust an expression takes, and what an honest one costs.

All attempts of tests/engine/graph/attempts.py, each the best of three in CPU time, so that other
programs on the machine do not count. Exits with 1 if one has a value or takes 100 ms.

    python benchmarks/expressions.py
"""

import runpy
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from comfynb.engine.graph.expressions import compile_expression
from comfynb.errors import ExpressionError

LIMIT = 0.1
HONEST = "output.width > 512 and params.cfg < 8 and any(f.score > 0.8 for f in output.faces)"


def attempt(text: str, data: dict[str, Any]) -> str | None:
    """What is said of an attempt; None if it had a value."""
    try:
        compile_expression(text).evaluate(data)
    except ExpressionError as error:
        return str(error)
    return None


def best(text: str, data: dict[str, Any]) -> float:
    """The least CPU time of three attempts, in seconds."""
    least = float("inf")
    for _ in range(3):
        start = time.process_time()
        attempt(text, data)
        least = min(least, time.process_time() - start)
    return least


def memory(text: str, data: dict[str, Any]) -> int:
    """Bytes that an attempt held at most."""
    tracemalloc.start()
    attempt(text, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main() -> int:
    suite = runpy.run_path(str(Path(__file__).parents[1] / "tests/engine/graph/attempts.py"))
    data = suite["DATA"]
    succeeded = [name for name, text in suite["ATTEMPTS"] if attempt(text, data) is None]
    timed = sorted(((best(text, data), name) for name, text in suite["ATTEMPTS"]), reverse=True)
    held = sorted(((memory(text, data), name) for name, text in suite["ATTEMPTS"]), reverse=True)
    print(f"{len(suite['ATTEMPTS'])} attempts, {len(succeeded)} succeeded {succeeded or ''}")
    for seconds, name in timed[:5]:
        print(f"{seconds * 1000:8.2f} ms  {name}")
    for size, name in held[:3]:
        print(f"{size / 1024:8.0f} KiB {name}")
    expression = compile_expression(HONEST)
    honest = {"output": {"width": 640, "faces": [{"score": 0.9}] * 4}, "params": {"cfg": 7}}
    start = time.process_time()
    for _ in range(1000):
        expression.evaluate(honest)
    print(f"{(time.process_time() - start) * 1000:8.1f} µs  for {HONEST}")
    return 1 if succeeded or timed[0][0] >= LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
