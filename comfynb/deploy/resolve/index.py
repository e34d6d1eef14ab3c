"""What the catalogue answered about a workflow's classes and models, laid out for the rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from comfynb.deploy.catalogue import NodeMatch, model_url
from comfynb.deploy.catalogue.folders import folder_of as folder_of_type
from comfynb.deploy.resolve.folders import canonical_folder
from comfynb.deploy.resolve.patterns import fits_anything
from comfynb.models import CustomNode, Model, ModelType, ModelVersion, NodeFacts

__all__ = ["ModelFile", "ModelIndex", "PackIndex", "folder_of", "url_key"]


def folder_of(model: Model, filename: str | None = None) -> str | None:
    """The folder below ``models`` that a model belongs in; None where the catalogue cannot tell."""
    directory = model.metadata.get("directory")
    if isinstance(directory, str) and directory:
        return canonical_folder(directory)
    name = filename or model.filename or ""
    if model.type is ModelType.VAE and name.lower().startswith("taesd"):
        return "vae_approx"
    return folder_of_type(model.type)


@dataclass
class PackIndex:
    """Node packs by class, and by what nodes say about their own."""

    matches: Mapping[str, Sequence[NodeMatch]] = field(default_factory=dict)
    by_registry_id: Mapping[str, CustomNode | None] = field(default_factory=dict)
    by_repository: Mapping[str, CustomNode | None] = field(default_factory=dict)
    """By ``owner/repository``, as workflows write it."""
    facts: dict[str, NodeFacts] = field(default_factory=dict)
    core_is_whole: bool = True
    """Whether the catalogue has all of ComfyUI's own classes, as far as anybody tells."""

    def __post_init__(self) -> None:
        for found in self.matches.values():
            for match in found:
                if match.facts is not None:
                    self.facts.setdefault(match.node.id, match.facts)

    def is_core(self, class_type: str) -> bool:
        """Whether the catalogue has the class among ComfyUI's own."""
        return any(match.how == "core" for match in self.matches.get(class_type, ()))

    @property
    def knows_core(self) -> bool:
        """Whether what it does not have among ComfyUI's classes is news."""
        return self.core_is_whole and any(self.is_core(class_type) for class_type in self.matches)

    def packs(self, class_type: str, how: str) -> list[CustomNode]:
        """The packs that have a class in this way: they claim, list, or match it."""
        found = [match for match in self.matches.get(class_type, ()) if match.how == how]
        if how == "pattern":
            found = [match for match in found if _says_something(match.facts)]
        return [match.node for match in found]

    def lists(self, node: CustomNode, class_type: str) -> bool:
        """Whether the catalogue says that a pack brings a class."""
        return any(match.node.id == node.id for match in self.matches.get(class_type, ()))


def _says_something(facts: NodeFacts | None) -> bool:
    return facts is not None and not fits_anything(facts.nodenamePattern or "")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that the catalogue knows: a model's own, or that of one of its versions."""

    model: Model
    version: ModelVersion | None
    filename: str
    url: str
    sha256: str | None
    size: int | None
    """Bytes."""
    folder: str | None

    @property
    def is_active(self) -> bool:
        """Whether the source still has it."""
        return self.model.isActive and (self.version is None or self.version.isActive)


@dataclass(slots=True)
class ModelIndex:
    """Model files by name, address and hash."""

    by_name: dict[str, list[ModelFile]] = field(default_factory=dict)
    by_url: dict[str, list[ModelFile]] = field(default_factory=dict)
    by_sha256: dict[str, list[ModelFile]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, models: Iterable[Model], versions: Mapping[str, Sequence[ModelVersion]] | None = None
    ) -> "ModelIndex":
        """Lay out models, each once; ``versions`` by the model's id."""
        index = cls()
        once = {model.id: model for model in models}.values()
        for model in sorted(once, key=lambda m: (not m.isVerified, m.downloadUrl, m.id)):
            for file in _files(model, (versions or {}).get(model.id, ())):
                index._add(file)
        return index

    def _add(self, file: ModelFile) -> None:
        self.by_name.setdefault(file.filename, []).append(file)
        self.by_url.setdefault(url_key(file.url), []).append(file)
        if file.sha256 is not None:
            self.by_sha256.setdefault(file.sha256, []).append(file)


def _files(model: Model, versions: Sequence[ModelVersion]) -> Iterable[ModelFile]:
    seen = set()
    for version in versions:
        seen.add(url_key(version.downloadUrl))
        yield ModelFile(
            model,
            version,
            version.filename,
            version.downloadUrl,
            version.sha256,
            version.fileSize,
            folder_of(model, version.filename),
        )
    if model.filename is not None and url_key(model.downloadUrl) not in seen:
        name, size = model.filename, model.fileSize
        yield ModelFile(model, None, name, model.downloadUrl, None, size, folder_of(model))


def url_key(url: str) -> str:
    """What two spellings of one file's address have in common; the text itself for no address."""
    try:
        return model_url(url)
    except ValueError:
        return url
