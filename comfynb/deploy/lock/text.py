"""A lock as text: the same lock gives the same bytes, and reads back as it was."""

import json

from pydantic import ValidationError

from comfynb.errors import DeploymentError
from comfynb.models import Lock, content_sha256, explain

__all__ = ["lock_sha256", "lock_text", "ordered", "read_lock"]

_LARGEST = 64 * 2**20


def ordered(lock: Lock) -> Lock:
    """The same lock with its parts in order: what stands where never depends on who came first."""
    python = lock.python.model_copy(
        update={"requirements": sorted(lock.python.requirements, key=lambda one: one.name)}
    )
    return lock.model_copy(
        update={
            "python": python,
            "nodes": sorted(lock.nodes, key=lambda node: (node.folder.lower(), node.folder)),
            "models": sorted(lock.models, key=lambda model: (model.path.lower(), model.path)),
            "packages": sorted(lock.packages, key=lambda package: package.name),
            "environment": dict(sorted(lock.environment.items())),
            "allowed_variables": sorted(set(lock.allowed_variables)),
        }
    )


def lock_text(lock: Lock) -> str:
    """Write a lock as JSON, two spaces deep, in a stable order, with a newline at the end."""
    content = ordered(lock).model_dump(mode="json")
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_lock(text: str | bytes) -> Lock:
    """Read a lock. Raises DeploymentError, in one sentence, for anything else."""
    if len(text) > _LARGEST:
        raise DeploymentError("This is larger than 64 MiB, which no lock is.")
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != 1:
            raise DeploymentError("This is no lock of comfynb's, or one of a newer comfynb.")
        return Lock.model_validate(content)
    except ValidationError as error:
        raise DeploymentError(f"This lock cannot be used: {explain(error)}") from None
    except (ValueError, RecursionError):
        raise DeploymentError("This is no lock but text that is not JSON.") from None


def lock_sha256(lock: Lock) -> str:
    """The hash of what a lock says; when it was made does not count."""
    content = ordered(lock).model_dump(mode="json")
    return content_sha256({**content, "created_at": None})
