"""Deployments on the page: catalogue, builder, lock report, scripts, syncs and tokens."""

from comfynb.widgets.deploy.browser import CatalogueBrowser
from comfynb.widgets.deploy.builder import DeploymentBuilder
from comfynb.widgets.deploy.report import LockReportView, report_html
from comfynb.widgets.deploy.script import ScriptPreview
from comfynb.widgets.deploy.sync import SyncMonitor
from comfynb.widgets.deploy.tokens import TokenForm
from comfynb.widgets.deploy.views import (
    BuilderActions,
    CatalogueQuery,
    DeploymentState,
    ReportState,
    ScriptState,
)

__all__ = [
    "BuilderActions",
    "CatalogueBrowser",
    "CatalogueQuery",
    "DeploymentBuilder",
    "DeploymentState",
    "LockReportView",
    "ReportState",
    "ScriptPreview",
    "ScriptState",
    "SyncMonitor",
    "TokenForm",
    "report_html",
]
