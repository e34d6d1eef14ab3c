"""Commands about one's own tokens: written, listed without their values, never read back."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from comfynb.deploy.service.command import Command, Run, steps
from comfynb.deploy.service.parts import needed
from comfynb.deploy.service.permission import Permission
from comfynb.deploy.tokens import Rotation, TokenInfo, TokenVault
from comfynb.models import Role, Service
from comfynb.models._base import Name

__all__ = [
    "ActivateToken",
    "AddToken",
    "ListTokens",
    "RemoveToken",
    "ReplaceToken",
    "RotateTokens",
]

# Nobody reads or changes somebody else's token, an ADMIN no more than others.
OWN = Permission()


class AddToken(Command[TokenInfo]):
    """Keep a token of one's own, encrypted."""

    permission: ClassVar = OWN

    name: Annotated[Name, Field(max_length=200)]
    service: Service
    token: SecretStr


class ReplaceToken(Command[TokenInfo]):
    """Put a new token in the place of one of one's own, say after the old one was withdrawn."""

    permission: ClassVar = OWN

    tokenId: str
    token: SecretStr


class ActivateToken(Command[TokenInfo]):
    """Use one of one's own tokens, or leave it aside."""

    permission: ClassVar = OWN

    tokenId: str
    active: bool = True


class RemoveToken(Command[None]):
    """Forget one of one's own tokens."""

    permission: ClassVar = OWN

    tokenId: str


class ListTokens(Command[list[TokenInfo]]):
    """List one's own tokens, and those of the environment, without their values."""

    permission: ClassVar = OWN


class RotateTokens(Command[Rotation]):
    """Encrypt all tokens of the store with a new key; ``forget`` drops the former keys."""

    permission: ClassVar = Permission(role=Role.ADMIN)

    forget: bool = False


async def _vault(run: Run[Any]) -> TokenVault:
    await run.enter()
    vault = needed(run.parts.vault, "tokens")
    # Whatever vault was handed in: it is this person's that is used.
    return vault if vault.user_id == run.person.id else vault.for_user(run.person.id)


@steps(AddToken)
async def _add(run: Run[AddToken]) -> TokenInfo:
    vault = await _vault(run)
    return await vault.add(run.command.name, run.command.service, run.command.token)


@steps(ReplaceToken)
async def _replace(run: Run[ReplaceToken]) -> TokenInfo:
    vault = await _vault(run)
    return await vault.replace(run.command.tokenId, run.command.token)


@steps(ActivateToken)
async def _activate(run: Run[ActivateToken]) -> TokenInfo:
    vault = await _vault(run)
    return await vault.set_active(run.command.tokenId, run.command.active)


@steps(RemoveToken)
async def _remove(run: Run[RemoveToken]) -> None:
    vault = await _vault(run)
    await vault.remove(run.command.tokenId)


@steps(ListTokens)
async def _list(run: Run[ListTokens]) -> list[TokenInfo]:
    vault = await _vault(run)
    return await vault.tokens()


@steps(RotateTokens)
async def _rotate(run: Run[RotateTokens]) -> Rotation:
    vault = await _vault(run)
    return await vault.rotate(forget=run.command.forget)
