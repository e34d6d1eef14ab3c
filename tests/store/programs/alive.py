"""Enters the owners' folder, says so, and stays until its input ends."""

import sys
from pathlib import Path

from comfynb.store.owners import Liveness

liveness = Liveness(Path(sys.argv[1]), sys.argv[2])
liveness.enter()
print("entered", flush=True)
sys.stdin.read()
liveness.leave()
