"""From a deployment to a lock: everything pinned, conflicts and risks named."""

from comfynb.deploy.lock.git import Git
from comfynb.deploy.lock.maker import LockOptions, make_lock
from comfynb.deploy.lock.models import ModelSources
from comfynb.deploy.lock.report import Claim, ConflictFound, LockReport, Risk, Sizes, size_of
from comfynb.deploy.lock.text import lock_sha256, lock_text, read_lock
from comfynb.deploy.lock.uv import Uv

__all__ = [
    "Claim",
    "ConflictFound",
    "Git",
    "LockOptions",
    "LockReport",
    "ModelSources",
    "Risk",
    "Sizes",
    "Uv",
    "lock_sha256",
    "lock_text",
    "make_lock",
    "read_lock",
    "size_of",
]
