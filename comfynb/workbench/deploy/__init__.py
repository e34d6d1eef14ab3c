"""From a workflow to a machine: ``wb.deployments``, ``.catalogue``, ``.tokens``, ``.people``."""

from comfynb.workbench.deploy.catalogue import Broken, Catalogue, Found, MostDownloaded
from comfynb.workbench.deploy.deployment import Deployment
from comfynb.workbench.deploy.deployments import Deployments
from comfynb.workbench.deploy.locks import Changes, Locked
from comfynb.workbench.deploy.people import People
from comfynb.workbench.deploy.registered import Registered
from comfynb.workbench.deploy.scripts import Script
from comfynb.workbench.deploy.session import DeploySession
from comfynb.workbench.deploy.syncs import Refused, Sync, SyncList
from comfynb.workbench.deploy.tokens import Tokens

__all__ = [
    "Broken",
    "Catalogue",
    "Changes",
    "DeploySession",
    "Deployment",
    "Deployments",
    "Found",
    "Locked",
    "MostDownloaded",
    "People",
    "Refused",
    "Registered",
    "Script",
    "Sync",
    "SyncList",
    "Tokens",
]
