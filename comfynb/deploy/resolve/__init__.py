"""From a workflow to the node packs and model files that it needs, without guessing."""

from comfynb.deploy.resolve.backends import BackendFacts, facts_of
from comfynb.deploy.resolve.collect import needs_of
from comfynb.deploy.resolve.folders import (
    canonical_folder,
    folder_problem,
    known_folders,
    parse_version,
)
from comfynb.deploy.resolve.index import ModelFile, folder_of
from comfynb.deploy.resolve.needs import ClassNeed, ModelNeed, Needs, PackHint, Place
from comfynb.deploy.resolve.packs import core_classes_of
from comfynb.deploy.resolve.plan import Plan, PlannedModel, PlannedNode, plan_of
from comfynb.deploy.resolve.resolution import (
    ModelCandidate,
    PackCandidate,
    PackUse,
    Resolution,
    ResolvedClass,
    ResolvedModel,
    Status,
)
from comfynb.deploy.resolve.resolver import Knowledge, look_up, resolve, resolve_needs

__all__ = [
    "BackendFacts",
    "ClassNeed",
    "Knowledge",
    "ModelCandidate",
    "ModelFile",
    "ModelNeed",
    "Needs",
    "PackCandidate",
    "PackHint",
    "PackUse",
    "Place",
    "Plan",
    "PlannedModel",
    "PlannedNode",
    "Resolution",
    "ResolvedClass",
    "ResolvedModel",
    "Status",
    "canonical_folder",
    "core_classes_of",
    "facts_of",
    "folder_of",
    "folder_problem",
    "known_folders",
    "look_up",
    "needs_of",
    "parse_version",
    "plan_of",
    "resolve",
    "resolve_needs",
]
