"""Parts of ``benchmarks/fleet.py``: servers, what their histories tell, the scheduler's cost."""
