"""A deployment as what is in it: packs, models, packages, variables, settings; changed by hand."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from comfynb.deploy.service import (
    AddModel,
    AddNode,
    AddPackage,
    DeploymentContents,
    EnableModel,
    EnableNode,
    ReadDeployment,
    ReadUsage,
    RemoveModel,
    RemoveNode,
    RemovePackage,
    SetEnvironment,
    SetSettings,
    UpdateDeployment,
    Usage,
)
from comfynb.errors import NotFound
from comfynb.models import CustomNode, Model, PackageType, SystemPackage
from comfynb.widgets.deploy.contents import contents_table
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.showing import Shown, one_of, size

if TYPE_CHECKING:
    from comfynb.workbench.deploy.catalogue import Catalogue
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Editable"]


class Editable(Shown):
    """What is in a deployment, looked at and changed; each change is in the store at once."""

    def __init__(self, session: "DeploySession", deployment_id: str) -> None:
        self._session = session
        self.id = deployment_id
        """Its id, as in the store."""

    # What it is -------------------------------------------------------------------------------

    @property
    def contents(self) -> DeploymentContents:
        """All that is in it, as it is now; raises NotFound if it was deleted or made private."""
        return self._session.run(ReadDeployment(deploymentId=self.id))

    @property
    def name(self) -> str:
        """What people call it."""
        return self.contents.deployment.name

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.contents.owner

    @property
    def nodes(self) -> list[CustomNode]:
        """Its node packs."""
        return [one.node for one in self.contents.nodes]

    @property
    def models(self) -> list[Model]:
        """Its models."""
        return [one.model for one in self.contents.models]

    @property
    def packages(self) -> list[SystemPackage]:
        """Its Debian and Python packages."""
        return list(self.contents.packages)

    @property
    def environment(self) -> dict[str, str]:
        """Its environment variables."""
        return dict(self.contents.deployment.environmentVars)

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings, as :class:`comfynb.models.CustomSettings`."""
        return dict(self.contents.deployment.customSettings)

    @property
    def usage(self) -> Usage:
        """Which scripts were made of it."""
        return self._session.run(ReadUsage(deploymentId=self.id))

    # Changing it ------------------------------------------------------------------------------

    def add_node(self, node: CustomNode | str, **config: Any) -> Self:
        """Put a node pack of the catalogue in: a row, or its id, URL or name."""
        node_id = self._node_id(node)
        self._session.run(AddNode(deploymentId=self.id, customNodeId=node_id, config=config))
        return self

    def remove_node(self, node: CustomNode | str) -> Self:
        """Take a node pack out."""
        self._session.run(RemoveNode(deploymentId=self.id, customNodeId=self._mine(node)))
        return self

    def enable_node(self, node: CustomNode | str, enabled: bool = True) -> Self:
        """Install a pack, or leave it out without forgetting it."""
        self._session.run(
            EnableNode(deploymentId=self.id, customNodeId=self._mine(node), isEnabled=enabled)
        )
        return self

    def add_model(
        self, model: Model | str, *, folder: str | None = None, filename: str | None = None
    ) -> Self:
        """Put a model of the catalogue in: a row, or its id, URL, file name or name.

        ``folder`` is below ComfyUI's, e.g. "models/loras"; without it, where the model belongs.
        """
        self._session.run(
            AddModel(
                deploymentId=self.id,
                modelId=self._model_id(model),
                targetPath=folder,
                customName=filename,
            )
        )
        return self

    def remove_model(self, model: Model | str) -> Self:
        """Take a model out."""
        self._session.run(RemoveModel(deploymentId=self.id, modelId=self._mine(model)))
        return self

    def enable_model(self, model: Model | str, enabled: bool = True) -> Self:
        """Download a model, or leave it out without forgetting it."""
        self._session.run(
            EnableModel(deploymentId=self.id, modelId=self._mine(model), isEnabled=enabled)
        )
        return self

    def add_package(
        self,
        name: str,
        *,
        kind: PackageType | str = PackageType.PIP,
        version: str | None = None,
        url: str | None = None,
    ) -> Self:
        """Put a Python package in, or with ``kind="APT"`` a Debian one."""
        self._session.run(
            AddPackage(
                deploymentId=self.id,
                packageType=one_of(PackageType, kind, "kind of package"),
                name=name,
                version=version,
                installUrl=url,
            )
        )
        return self

    def remove_package(self, name: str) -> Self:
        """Take a package out."""
        for package in self.packages:
            if name in {package.name, package.id}:
                command = RemovePackage(deploymentId=self.id, packageId=package.id)
                self._session.run(command)
                return self
        raise NotFound(f"{self.name} has no package called {name!r:.80}.")

    def set_environment(self, variables: Mapping[str, str], *, risky: bool = False) -> Self:
        """Set its environment variables, all of them; no secrets (see ``wb.tokens``).

        Raises:
            InvalidValue: one looks like a secret, or (without ``risky``) changes which programs
                the machine runs.
        """
        self._session.run(
            SetEnvironment(deploymentId=self.id, variables=dict(variables), risky=risky)
        )
        return self

    def set_settings(self, **settings: Any) -> Self:
        """Set some settings, e.g. ``python_version="3.12"``; None takes one away."""
        merged = {**self.settings, **settings}
        kept = {name: value for name, value in merged.items() if value is not None}
        self._session.run(SetSettings(deploymentId=self.id, settings=kept))
        return self

    def rename(self, name: str) -> Self:
        """Call it otherwise."""
        self._session.run(UpdateDeployment(deploymentId=self.id, name=name))
        return self

    def describe(self, description: str | None) -> Self:
        """Say what it is for."""
        self._session.run(UpdateDeployment(deploymentId=self.id, description=description))
        return self

    # Finding and showing --------------------------------------------------------------------------

    def _node_id(self, node: CustomNode | str) -> str:
        return node.id if isinstance(node, CustomNode) else self._catalogue.node(node).id

    def _model_id(self, model: Model | str) -> str:
        return model.id if isinstance(model, Model) else self._catalogue.model(model).id

    @property
    def _catalogue(self) -> "Catalogue":
        return self._session.workbench.catalogue

    def _mine(self, item: CustomNode | Model | str) -> str:
        """The id of something that is in it."""
        if not isinstance(item, str):
            return item.id
        rows: Sequence[Any] = [*self.nodes, *self.models]
        for row in rows:
            names = {row.id, row.name, getattr(row, "githubUrl", ""), getattr(row, "filename", "")}
            if item in names:
                return str(row.id)
        raise NotFound(f"{self.name} has nothing called {item!r:.80}.")

    def _heading(self) -> str:
        contents = self.contents
        made = contents.deployment
        sizes = [one.model.fileSize for one in contents.models if one.choice.isEnabled]
        known = [each for each in sizes if each is not None]
        of = "" if len(known) == len(sizes) else f", {len(sizes) - len(known)} of unknown size"
        models = f"{len(contents.models)} models ({size(sum(known))}{of})"
        return (
            f"{made.name}: {len(contents.nodes)} node packs, {models}, "
            f"{len(contents.packages)} packages"
        )

    def _table(self) -> StaticTable:
        return contents_table(self.contents)
