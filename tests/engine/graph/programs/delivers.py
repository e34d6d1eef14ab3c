"""Delivers files: FOLDER PATTERN JOB LEDGER FILE..."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from comfynb.engine.graph.delivery import Delivery, DeliveryItem, deliver

folder, pattern, job, ledger, *files = sys.argv[1:]
deliver(
    Delivery(
        job_id=job,
        node_id="out",
        node="results",
        folder=Path(folder),
        pattern=pattern,
        items=[DeliveryItem(Path(file)) for file in files],
        at=datetime(2026, 11, 21, 15, 4, 5, tzinfo=UTC),
        ledger=Path(ledger),
    )
)
