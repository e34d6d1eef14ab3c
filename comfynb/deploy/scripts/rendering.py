"""From a lock to the texts of a target: RunPod, bash, Docker, compose, a snapshot."""

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from comfynb.deploy.scripts.checks import TOKEN_NAMES
from comfynb.deploy.scripts.contents import Contents, File, contents_of
from comfynb.deploy.scripts.documents import (
    baked,
    compose_document,
    image_name,
    snapshot_document,
)
from comfynb.deploy.scripts.quoting import Quoted, environment
from comfynb.errors import DeploymentError
from comfynb.models.lock import Lock

__all__ = ["TARGETS", "Rendered", "Target", "render"]


@dataclass(frozen=True)
class Rendered:
    """The texts of one target."""

    target: str
    files: dict[str, str]
    """By file name; all of them go into one folder."""
    main: str
    """The name of the one to look at, or to run."""
    executable: tuple[str, ...] = ()
    """Names of those that are programs."""
    tokens: tuple[str, ...] = ()
    """Environment variables with tokens that it wants, e.g. ``HF_TOKEN``; no values."""
    notes: tuple[str, ...] = ()
    """What a person should know, a sentence each."""


@dataclass(frozen=True)
class About:
    """How a script behaves if nobody says otherwise."""

    target: str
    workspace: str
    start: str = "no"
    listen: str = "127.0.0.1"
    name: str = ""
    python_name: str = ""
    digest: str = ""
    parts: str = ""
    """Where unfinished files are kept; empty: beside the finished ones."""

    @classmethod
    def of(cls, contents: Contents, target: str, *, start: str, outside: bool) -> "About":
        """What a whole script says; one that listens to the outside is behind a proxy or NAT."""
        return cls(
            target,
            contents.workspace,
            start,
            "0.0.0.0" if outside else "127.0.0.1",  # noqa: S104
            contents.name,
            contents.python_name,
            contents.digest,
        )


@dataclass(frozen=True)
class Target:
    """One kind of machine."""

    name: str
    title: str
    """For people."""
    workspace: str
    """Where everything goes, if the lock does not say."""
    write: Callable[["Contents", "Target"], Rendered] = field(repr=False)
    http: bool = False
    """Addresses of models may be http; the script then wants ``--allow-http``."""


@dataclass(frozen=True)
class Layer:
    """One RUN of a Dockerfile."""

    title: str
    about: About
    parts: tuple[str, ...] = ()
    files: Sequence[File] = ()
    mounts: tuple[str, ...] = ()


@functools.cache
def _library() -> str:
    """The shell functions that all scripts share; the same text in each of them."""
    folder = resources.files("comfynb.deploy.scripts") / "templates" / "lib"
    parts = sorted(
        (part for part in folder.iterdir() if part.name.endswith(".sh")), key=lambda part: part.name
    )
    return "\n".join(part.read_text(encoding="ascii").strip("\n") + "\n" for part in parts)


def _more(_text: str, last: bool) -> Quoted:
    """What continues a command on the next line."""
    return Quoted("" if last else " \\")


def _mount(value: str) -> Quoted:
    if value not in _MOUNTS.values():
        raise ValueError(f"{value!r:.60} is no mount of ours")
    return Quoted(value)


_PARTS = "/var/cache/comfynb"
"""Where a build keeps unfinished files: a layer that failed is thrown away, a cache is not."""

_MOUNTS = {
    "uv": "type=cache,target=/var/cache/uv",
    "parts": f"type=cache,target={_PARTS},sharing=locked",
    "HF_TOKEN": "type=secret,id=hf_token,required=true",
    "CIVITAI_TOKEN": "type=secret,id=civitai_token,required=true",
}


@functools.cache
def _environment() -> Any:
    made = environment()
    made.filters.update(rendered=_rendered, more=_more, mount=_mount)
    return made


def _rendered(text: str) -> Quoted:
    """What a macro has printed, which passed the filters on its way."""
    return Quoted(text.rstrip("\n") + "\n")


def _print(template: str, **values: Any) -> str:
    text: str = _environment().get_template(template).render(**values)
    return text.rstrip("\n") + "\n"


def _tokens(contents: Contents) -> tuple[str, ...]:
    return tuple(TOKEN_NAMES[service] for service in contents.services)


def _notes(contents: Contents) -> list[str]:
    notes = [f"Set {name} on the machine: some models want it." for name in _tokens(contents)]
    notes += [
        f"Set {name} on the machine: the deployment's variables name it without a value."
        for name in contents.from_outside
    ]
    if any(file.url.startswith("http:") for file in contents.files):
        notes.append("Some addresses are http, not https: run the script with --allow-http.")
    unhashed = sum(not file.sha256 for file in contents.files)
    if unhashed:
        notes.append(f"{unhashed} files have no hash in the lock: nobody can tell their content.")
    return notes


def _script(contents: Contents, target: Target) -> Rendered:
    runpod = target.name == "runpod"
    name = "runpod-start.sh" if runpod else "install.sh"
    about = About.of(contents, target.name, start="yes" if runpod else "no", outside=runpod)
    text = _print(
        "runpod.sh.j2" if runpod else "bash.sh.j2",
        c=contents,
        about=about,
        library=_library(),
        tokens=_tokens(contents),
    )
    return Rendered(
        target.name,
        {name: text},
        name,
        executable=(name,),
        tokens=_tokens(contents),
        notes=tuple(_notes(contents)),
    )


_MOST_LAYERS = 40
"""Layers of models; an image has 127 layers at most."""


def _model_layers(models: Sequence[File], workspace: str) -> list[Layer]:
    """One layer for each model, so that another model leaves it in the cache."""
    groups: dict[object, list[File]] = {}
    for number, model in enumerate(models):
        crowded = len(models) > _MOST_LAYERS
        digest = int(hashlib.sha256(model.id.encode()).hexdigest(), 16)
        groups.setdefault(digest % _MOST_LAYERS if crowded else number, []).append(model)
    return [
        Layer(
            "Models" if len(group) > 1 else f"Model {group[0].label}",
            About("docker", workspace, name="models", parts=_PARTS),
            files=group,
            mounts=(
                _MOUNTS["parts"],
                *(_MOUNTS[TOKEN_NAMES[each]] for each in sorted({m.service for m in group} - {""})),
            ),
        )
        for _, group in sorted(groups.items(), key=lambda item: str(item[0]).zfill(9))
    ]


def _dockerfile(contents: Contents, *, compose: bool) -> str:
    if not contents.workspace.startswith("/"):
        raise DeploymentError(
            f"The workspace {contents.workspace!a:.80} must be an absolute path in an image: "
            "an image has no home."
        )
    layers = []

    def add(title: str, *parts: str, files: Sequence[File] = (), mount: str = "") -> None:
        # Neither the deployment's name nor its digest: a layer that says the same stays cached.
        about = About("docker", contents.workspace, name=title)
        mounts = (_MOUNTS[mount],) if mount else ()
        layers.append(Layer(title, about, parts, files, mounts))

    if contents.packages:
        add("System packages", "packages")
    add("ComfyUI", "comfyui")
    add("Python packages", "python", mount="uv")
    if contents.nodes or contents.unpacks or contents.pack_files or contents.installs:
        add("Node packs", "nodes", "install", files=contents.pack_files)
    in_image = baked(contents) if compose else contents.models
    layers += _model_layers(in_image, contents.workspace)
    start = Layer(
        "Start",
        About.of(contents, "docker", start="yes", outside=True),
        # compose hands the variables over itself, where they can be seen and changed.
        parts=("outside",) if compose else ("environment", "outside"),
        files=[model for model in contents.models if compose and model not in in_image],
    )
    return _print(
        "Dockerfile.j2",
        c=contents,
        layers=layers,
        start=start,
        image=image_name(contents.name),
        tokens=sorted({TOKEN_NAMES[model.service] for model in in_image if model.service}),
        library=_library(),
    )


def _docker(contents: Contents, target: Target) -> Rendered:
    files = {
        "Dockerfile": _dockerfile(contents, compose=False),
        ".dockerignore": _print("dockerignore.j2"),
    }
    return Rendered(
        target.name, files, "Dockerfile", tokens=_tokens(contents), notes=tuple(_notes(contents))
    )


def _compose(contents: Contents, target: Target) -> Rendered:
    document = compose_document(contents, contents.workspace)
    files = {
        "compose.yaml": _print(
            "compose.yaml.j2", c=contents, document=document, tokens=_tokens(contents)
        ),
        "Dockerfile": _dockerfile(contents, compose=True),
        ".dockerignore": _print("dockerignore.j2"),
    }
    return Rendered(
        target.name, files, "compose.yaml", tokens=_tokens(contents), notes=tuple(_notes(contents))
    )


def _snapshot(lock: Lock) -> Rendered:
    notes = []
    if lock.models:
        notes.append(f"A snapshot holds no models: {len(lock.models)} are not in it.")
    lost = [node.name for node in lock.nodes if node.kind == "unzip" and not node.registry_id]
    notes += [f"A snapshot cannot name {name!a:.60}, which is an archive." for name in lost]
    if any(each.hashes for each in lock.python.requirements):
        notes.append("A snapshot holds versions of Python packages, and no hashes.")
    text = _print("snapshot.json.j2", document=snapshot_document(lock))
    return Rendered("snapshot", {"snapshot.json": text}, "snapshot.json", notes=tuple(notes))


def _no_contents(_contents: Contents, _target: Target) -> Rendered:
    raise AssertionError("a snapshot is made of the lock")


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("runpod", "RunPod start script", "/workspace", _script, http=True),
        Target("bash", "bash script", "~/comfynb", _script, http=True),
        Target("docker", "Dockerfile", "/opt/comfyui", _docker),
        Target("compose", "Docker Compose", "/opt/comfyui", _compose),
        Target("snapshot", "ComfyUI-Manager snapshot", "/", _no_contents),
    )
}


def render(lock: Lock, target: str, *, allow: Collection[str] = ()) -> Rendered:
    """Write the texts of a target; the same lock gives the same texts.

    Args:
        lock: What is installed. It is checked once more, whoever made it.
        target: A name of :data:`TARGETS`.
        allow: Names of environment variables that would be refused, such as ``PYTHONPATH``.

    Raises:
        DeploymentError: there is no such target, or a script of this lock would be unsafe; the
            message names the culprit and the cure.
    """
    if target not in TARGETS:
        raise DeploymentError(
            f"There is no target {target!a:.40}: choose one of {', '.join(TARGETS)}."
        )
    if target == "snapshot":
        # Nothing of it is executed as it stands, yet what no script takes is no snapshot either.
        contents_of(lock, workspace="/", http=True, allow=allow)
        return _snapshot(lock)
    chosen = TARGETS[target]
    contents = contents_of(lock, workspace=chosen.workspace, http=chosen.http, allow=allow)
    return chosen.write(contents, chosen)
