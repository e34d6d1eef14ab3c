"""The service layer: every command with its permission, the same for notebook, script and CLI."""

from comfynb.deploy.service.bundle import Bundle, pack, unpack
from comfynb.deploy.service.choices import (
    AddModel,
    AddNode,
    AddPackage,
    EnableModel,
    EnableNode,
    RemoveModel,
    RemoveNode,
    RemovePackage,
    SetEnvironment,
    SetSettings,
)
from comfynb.deploy.service.command import COMMANDS, Command
from comfynb.deploy.service.contents import ChosenModel, ChosenNode, DeploymentContents
from comfynb.deploy.service.curating import (
    DeactivateModel,
    DeactivateNode,
    EditModel,
    EditNode,
    RegisterModel,
    RegisterNode,
    VerifyModel,
    VerifyNode,
)
from comfynb.deploy.service.deployments import (
    CloneDeployment,
    CreateDeployment,
    DeleteDeployment,
    DeploymentLine,
    DeploymentPage,
    ListDeployments,
    MakeTemplate,
    PublishDeployment,
    ReadDeployment,
    UpdateDeployment,
)
from comfynb.deploy.service.locks import ListLocks, MadeLock, MakeLock, ReadLock
from comfynb.deploy.service.parts import Parts
from comfynb.deploy.service.people import ListPeople, SetActive, SetRole, WhoAmI
from comfynb.deploy.service.permission import Access, Permission
from comfynb.deploy.service.scripts import GenerateScript, MadeScript
from comfynb.deploy.service.service import DeployService
from comfynb.deploy.service.sharing import ExportBundle, ImportBundle
from comfynb.deploy.service.statistics import (
    Downloads,
    ReadDownloads,
    ReadUsage,
    RecordDownloads,
    Usage,
)
from comfynb.deploy.service.syncs import CancelSync, ListSyncs, ResumeSync, StartSync
from comfynb.deploy.service.tokens import (
    ActivateToken,
    AddToken,
    ListTokens,
    RemoveToken,
    ReplaceToken,
    RotateTokens,
)

__all__ = [
    "COMMANDS",
    "Access",
    "ActivateToken",
    "AddModel",
    "AddNode",
    "AddPackage",
    "AddToken",
    "Bundle",
    "CancelSync",
    "ChosenModel",
    "ChosenNode",
    "CloneDeployment",
    "Command",
    "CreateDeployment",
    "DeactivateModel",
    "DeactivateNode",
    "DeleteDeployment",
    "DeployService",
    "DeploymentContents",
    "DeploymentLine",
    "DeploymentPage",
    "Downloads",
    "EditModel",
    "EditNode",
    "EnableModel",
    "EnableNode",
    "ExportBundle",
    "GenerateScript",
    "ImportBundle",
    "ListDeployments",
    "ListLocks",
    "ListPeople",
    "ListSyncs",
    "ListTokens",
    "MadeLock",
    "MadeScript",
    "MakeLock",
    "MakeTemplate",
    "Parts",
    "Permission",
    "PublishDeployment",
    "ReadDeployment",
    "ReadDownloads",
    "ReadLock",
    "ReadUsage",
    "RecordDownloads",
    "RegisterModel",
    "RegisterNode",
    "RemoveModel",
    "RemoveNode",
    "RemovePackage",
    "RemoveToken",
    "ReplaceToken",
    "ResumeSync",
    "RotateTokens",
    "SetActive",
    "SetEnvironment",
    "SetRole",
    "SetSettings",
    "StartSync",
    "UpdateDeployment",
    "Usage",
    "VerifyModel",
    "VerifyNode",
    "WhoAmI",
    "pack",
    "unpack",
]
