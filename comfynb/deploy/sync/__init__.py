"""Syncs: what fills the catalogue, from the services' answers, politely, and resumable."""

from comfynb.deploy.sync.backend import BackendContents
from comfynb.deploy.sync.batch import Batch, SyncSource
from comfynb.deploy.sync.civitai import CivitaiModels
from comfynb.deploy.sync.huggingface import HuggingFaceModels
from comfynb.deploy.sync.manager import ManagerLists
from comfynb.deploy.sync.polite import Asker
from comfynb.deploy.sync.progress import Refusal, SyncView, refusals_of
from comfynb.deploy.sync.registry import RegistryNodes
from comfynb.deploy.sync.runner import SyncRun, SyncRunner
from comfynb.deploy.sync.templates import TemplateModels

__all__ = [
    "Asker",
    "BackendContents",
    "Batch",
    "CivitaiModels",
    "HuggingFaceModels",
    "ManagerLists",
    "Refusal",
    "RegistryNodes",
    "SyncRun",
    "SyncRunner",
    "SyncSource",
    "SyncView",
    "TemplateModels",
    "refusals_of",
]
