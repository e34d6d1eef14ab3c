"""The sample workflows: ``NAME.json`` as the UI saves it, ``NAME.api.json`` as a prompt."""

from importlib import resources

__all__ = ["workflow_names", "workflow_text"]


def workflow_names() -> list[str]:
    """Return the names of the sample workflows."""
    files = [entry.name for entry in resources.files(__name__).iterdir()]
    return sorted(name.removesuffix(".api.json") for name in files if name.endswith(".api.json"))


def workflow_text(name: str, *, api: bool = False) -> str:
    """Return a sample workflow as JSON text, in the UI's format or as an API prompt."""
    file = resources.files(__name__) / f"{name}{'.api' if api else ''}.json"
    return file.read_text(encoding="utf-8")
