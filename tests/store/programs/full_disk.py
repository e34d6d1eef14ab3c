"""Writes until the file must not grow any more, then lets it grow again."""

import resource
import sys
from pathlib import Path

from comfynb.errors import StoreError
from comfynb.models import Project
from comfynb.store import open_store

place = Path(sys.argv[1])
store = open_store(place)
store.ready().result()
size = max(path.stat().st_size for path in place.parent.glob(place.name + "*") if path.is_file())
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
acknowledged = 0
try:
    while True:
        row = Project(id=f"p{acknowledged}", name="x", description=str(acknowledged) * 2000)
        store.put(row).result()
        acknowledged += 1
except StoreError as error:
    print(f"acknowledged {acknowledged}")
    print(f"refused StoreError {error}")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.put(Project(id="after", name="x")).result()
print("goes on", flush=True)
store.close().result()
