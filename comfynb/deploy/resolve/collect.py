"""Reads from a workflow, of either form, what it needs: the entry point is ``needs_of``."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from comfynb.comfy.convert import convert
from comfynb.comfy.convert.model import Graph, parse_node
from comfynb.comfy.convert.virtual import is_virtual
from comfynb.comfy.load import LoadedWorkflow, load_workflow
from comfynb.comfy.object_info import ObjectInfo, as_object_info
from comfynb.deploy.resolve.folders import is_model_file, split_name
from comfynb.deploy.resolve.loaders import LOADERS
from comfynb.deploy.resolve.needs import (
    ClassNeed,
    ModelMention,
    Needs,
    PackHint,
    Place,
    gather_models,
)
from comfynb.deploy.resolve.reading import (
    Declared,
    Found,
    found_in_inputs,
    found_in_saved,
    read_declared,
)
from comfynb.deploy.resolve.walking import WalkedNode, walk
from comfynb.models._checks import check_file_name, check_relative_folder

__all__ = ["needs_of"]

_LONGEST_CLASS = 300
_BUILT_IN_VAES = frozenset({"taesd", "taesdxl", "taesd3", "taef1"})


def needs_of(
    workflow: LoadedWorkflow | Mapping[str, Any] | str | os.PathLike[str] | bytes,
    object_info: Mapping[str, Any] | None = None,
) -> Needs:
    """List the node classes and model files that a workflow needs.

    A UI workflow tells most: its nodes name their packs and declare where models come from. Of a
    prompt in API format the inputs are read. ``object_info`` is a server's ``/object_info``: where
    it has a node's class, its lists of choices say which inputs are models. Nothing is fetched.
    Raises :class:`~comfynb.errors.NotAWorkflow`, and :class:`~comfynb.errors.WorkflowError` where
    subgraphs expand beyond all measure.
    """
    loaded = workflow if isinstance(workflow, LoadedWorkflow) else load_workflow(workflow)
    info = as_object_info(object_info) if object_info is not None else None
    if loaded.workflow is not None:
        return _Collector("ui", info).ui(loaded.workflow)
    return _Collector("api", info).api(loaded.prompt or {})


def folders_of_lists(info: ObjectInfo) -> dict[frozenset[str], str]:
    """The folder of each list of files that a known loader offers, where only one folder has it."""
    found: dict[frozenset[str], set[str]] = {}
    for class_type, loaders in LOADERS.items():
        node_class = info.node(class_type)
        for loader in loaders if node_class is not None else ():
            spec = node_class.inputs.get(loader.input) if node_class is not None else None
            names = frozenset(filter(is_model_file, (spec.choices or ()) if spec else ()))
            if names:
                found.setdefault(names, set()).add(loader.folder)
    return {names: next(iter(all_)) for names, all_ in found.items() if len(all_) == 1}


class _Classes:
    """Node classes with their places and hints, in the order of the workflow."""

    def __init__(self) -> None:
        self._places: dict[str, list[Place]] = {}
        self._hints: dict[str, Counter[PackHint]] = {}

    def add(self, place: Place, hint: PackHint | None) -> None:
        self._places.setdefault(place.class_type, []).append(place)
        if hint is not None:
            self._hints.setdefault(place.class_type, Counter())[hint] += 1

    def __contains__(self, class_type: str) -> bool:
        return class_type in self._places

    def needs(self, but: Iterable[str] = ()) -> tuple[ClassNeed, ...]:
        left_out = set(but)
        return tuple(
            ClassNeed(name, tuple(places), tuple(h for h, _ in self._of(name).most_common()))
            for name, places in sorted(self._places.items())
            if name not in left_out
        )

    def _of(self, name: str) -> Counter[PackHint]:
        return self._hints.get(name, Counter())


class _Collector:
    def __init__(self, kind: Any, info: ObjectInfo | None) -> None:
        self._kind = kind
        self._info = info
        self._lists = folders_of_lists(info) if info is not None else {}
        self._classes = (_Classes(), _Classes())
        self._models: list[ModelMention] = []
        self._front_end: Counter[str] = Counter()
        self._problems: list[str] = []

    # The two forms ---------------------------------------------------------------------------

    def ui(self, data: Mapping[str, Any]) -> Needs:
        walked = walk(data)
        self._problems += walked.problems
        prompt = convert(data, self._info).prompt if self._info is not None else {}
        overall = read_declared(walked.declared, self._problems)
        for item in walked.nodes:
            self._ui_node(item, prompt, overall)
        mentioned = {mention.filename for mention in self._models}
        for entry in overall:
            if split_name(entry.name)[1] not in mentioned:
                found = Found(entry.name, "", entry.folder, "metadata")
                self._mention(found, Place("", "", ""), True, [entry])
        return self._needs()

    def _ui_node(
        self, item: WalkedNode, prompt: Mapping[str, Any], overall: list[Declared]
    ) -> None:
        node, sent = item.node, prompt.get(item.path)
        if is_virtual(node, known=self._info is not None and node.type in self._info):
            self._front_end[node.type] += 1
            return
        place = Place(item.path, node.title, node.type)
        if not self._class_is_sound(place):
            return
        self._classes[not item.sent].add(place, _hint(node.properties))
        if sent is not None and self._info is not None and node.type in self._info:
            found = list(
                found_in_inputs(node.type, sent["inputs"], self._info, self._lists, prompt)
            )
        else:
            found = list(found_in_saved(node, item.set))
        declared = read_declared(node.properties.get("models"), self._problems)
        if not found:
            found = [Found(entry.name, "", entry.folder, "metadata") for entry in declared]
        for one in found:
            self._mention(one, place, item.active and one.on, [*declared, *overall])
        if item.active:
            values = item.node.values
            self._beyond_files(place, values[:1] if isinstance(values, list) else [])

    def _beyond_files(self, place: Place, values: Iterable[Any]) -> None:
        """Say what a loader wants that is no single file."""
        for value in values:
            if place.class_type == "VAELoader" and value in _BUILT_IN_VAES:
                self._problem(
                    f"VAELoader {value!r} needs {value}_encoder and {value}_decoder in "
                    "models/vae_approx: the workflow does not say which files those are."
                )
            elif place.class_type == "DiffusersLoader" and isinstance(value, str) and value:
                self._problem(
                    f"DiffusersLoader wants the folder {value!r:.80} in models/diffusers: which "
                    "files belong in it is not known."
                )

    def api(self, prompt: Mapping[str, Any]) -> Needs:
        nowhere = Graph("", "")
        for node_id, raw in prompt.items():
            class_type, inputs = raw.get("class_type"), raw.get("inputs")
            if not isinstance(class_type, str):
                continue
            meta = raw.get("_meta")
            title = meta.get("title") if isinstance(meta, dict) else None
            place = Place(node_id, title if isinstance(title, str) else "", class_type)
            node = parse_node({"id": node_id, "type": class_type}, nowhere)
            known = self._info is not None and class_type in self._info
            if node is not None and is_virtual(node, known=known):
                self._front_end[class_type] += 1
                continue
            if not self._class_is_sound(place):
                continue
            self._classes[0].add(place, None)
            given = inputs if isinstance(inputs, Mapping) else {}
            for one in found_in_inputs(class_type, given, self._info, self._lists, prompt):
                self._mention(one, place, one.on, [])
            named = (given.get(name) for name in ("vae_name", "model_path"))
            self._beyond_files(place, [value for value in named if isinstance(value, str)])
        return self._needs()

    # Together ----------------------------------------------------------------------------------

    def _class_is_sound(self, place: Place) -> bool:
        name = place.class_type
        if name and len(name) <= _LONGEST_CLASS and name.isprintable():
            return True
        self._problem(f"Node {place.path:.60} has a class name that none has: {name!r:.60}.")
        return False

    def _problem(self, text: str) -> None:
        if text not in self._problems:
            self._problems.append(text)

    def _mention(self, one: Found, place: Place, active: bool, declared: list[Declared]) -> None:
        subfolder, filename = split_name(one.name)
        try:
            check_file_name(filename)
            if subfolder:
                check_relative_folder(subfolder)
        except ValueError:
            self._problem(
                f"Node {place.path:.60} {place.title or place.class_type!r:.60} wants the model "
                f"{one.name!r:.80}, which is no path below a models folder: it is left out."
            )
            return
        at = Place(place.path, place.title, place.class_type, one.input)
        entries = [entry for entry in declared if split_name(entry.name)[1] == filename]
        exact = [entry for entry in entries if entry.name.replace("\\", "/") == one.name]
        choices: list[Declared | None] = [*(exact or entries)] or [None]
        for entry in choices:
            folder, evidence = one.folder, one.evidence
            if entry is not None and entry.folder is not None:
                if evidence != "loader":
                    folder, evidence = entry.folder, "metadata"
                elif folder is not None and entry.folder.split("/")[0] != folder.split("/")[0]:
                    self._problem(
                        f"Model {filename!r:.80} is declared for folder {entry.folder!r:.60}, but "
                        f"{place.class_type} looks in {folder}."
                    )
            url, sha256 = (entry.url, entry.sha256) if entry is not None else (None, None)
            self._models.append(
                ModelMention(filename, subfolder, folder, at, active, evidence, url, sha256)
            )

    def _needs(self) -> Needs:
        used, unused = self._classes
        models = gather_models([m for m in self._models if m.active])
        names = {need.name for need in models}
        idle = [m for m in self._models if not m.active]
        return Needs(
            self._kind,
            used.needs(),
            models,
            unused.needs(but=(need.class_type for need in used.needs())),
            tuple(need for need in gather_models(idle) if need.name not in names),
            dict(sorted(self._front_end.items())),
            tuple(dict.fromkeys(self._problems)),
        )


def _hint(properties: Mapping[str, Any]) -> PackHint | None:
    values = [properties.get(key) for key in ("cnr_id", "aux_id", "ver")]
    cnr_id, aux_id, ver = (v if isinstance(v, str) and 0 < len(v) <= 200 else None for v in values)
    return PackHint(cnr_id, aux_id, ver) if cnr_id or aux_id else None
