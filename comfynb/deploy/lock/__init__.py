"""From a deployment to a lock: everything pinned, conflicts and risks named."""

from comfynb.deploy.lock.diff import Change, LockDiff, diff_locks
from comfynb.deploy.lock.git import Git
from comfynb.deploy.lock.maker import LockOptions, lock_maker, make_lock
from comfynb.deploy.lock.models import ModelSources
from comfynb.deploy.lock.report import (
    Claim,
    ConflictFound,
    LockReport,
    Risk,
    RiskLevel,
    Sizes,
    size_of,
)
from comfynb.deploy.lock.text import lock_sha256, lock_text, read_lock
from comfynb.deploy.lock.update import LockUpdate, explain_changes, update_lock
from comfynb.deploy.lock.uv import Uv

__all__ = [
    "Change",
    "Claim",
    "ConflictFound",
    "Git",
    "LockDiff",
    "LockOptions",
    "LockReport",
    "LockUpdate",
    "ModelSources",
    "Risk",
    "RiskLevel",
    "Sizes",
    "Uv",
    "diff_locks",
    "explain_changes",
    "lock_maker",
    "lock_sha256",
    "lock_text",
    "make_lock",
    "read_lock",
    "size_of",
    "update_lock",
]
