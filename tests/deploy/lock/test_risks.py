"""Risks that need no world to be seen."""

import pytest

from comfynb.deploy.lock.report import Sizes, format_bytes
from comfynb.deploy.lock.risks import python_risks
from comfynb.models.lock import LockedRequirement

HASH = "sha256:" + "a" * 64


def pin(name: str, version: str, *hashes: str) -> LockedRequirement:
    return LockedRequirement(name=name, version=version, hashes=list(hashes), via=["Alpha"])


def test_packages_without_hashes_and_known_malware_are_named() -> None:
    found = python_risks(
        [
            pin("numpy", "2.0"),
            pin("ultralytics", "8.3.41", HASH),
            pin("ultralytics", "8.3.40", HASH),
        ]
    )
    assert [(risk.kind, risk.level, risk.subject) for risk in found] == [
        ("no hash", "medium", "numpy"),
        ("compromised", "high", "ultralytics"),
    ]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (3 * 2**40, "3072.00 GiB"),
    ],
)
def test_bytes_are_written_for_people(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_what_is_not_known_is_counted() -> None:
    sizes = Sizes(models=10 * 2**30, unknown_models=1, files=0, unknown_files=1, repositories=2)
    assert sizes.disk == 11 * 2**30
    assert str(sizes).startswith("10.00 GiB to download, and 2 files of unknown size")
