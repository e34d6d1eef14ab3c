"""The catalogue: node packs and models with versions and hashes, searched and looked up."""

from comfynb.deploy.catalogue.catalogue import Catalogue
from comfynb.deploy.catalogue.classes import CORE, NodeMatch
from comfynb.deploy.catalogue.entries import (
    FileEntry,
    ModelEntry,
    NodeEntry,
    Outcome,
    ReleaseEntry,
    Tally,
)
from comfynb.deploy.catalogue.known import KnownModel, KnownNode
from comfynb.deploy.catalogue.search import Page
from comfynb.deploy.catalogue.urls import Repository, model_url, repository

__all__ = [
    "CORE",
    "Catalogue",
    "FileEntry",
    "KnownModel",
    "KnownNode",
    "ModelEntry",
    "NodeEntry",
    "NodeMatch",
    "Outcome",
    "Page",
    "ReleaseEntry",
    "Repository",
    "Tally",
    "model_url",
    "repository",
]
