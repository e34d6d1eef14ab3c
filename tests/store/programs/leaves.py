"""Submits rows and ends without waiting for them."""

import sys

from comfynb.models import Project
from comfynb.store import open_store

store = open_store(sys.argv[1])
for i in range(50):
    store.put(Project(id=f"p{i}", name="x"))
print("leaving", flush=True)
