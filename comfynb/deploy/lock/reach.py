"""Looks at an address before another program is sent there: it must be public, like all others."""

from collections.abc import Sequence

from comfynb.deploy.net import NetPolicy
from comfynb.deploy.net.addresses import why_refused
from comfynb.deploy.net.gate import Lookup, look_up
from comfynb.deploy.net.policy import Target
from comfynb.errors import AddressRefused, DeploymentError

__all__ = ["check_reach"]


async def check_reach(
    url: str, policy: NetPolicy, what: str, *, lookup: Lookup = look_up
) -> tuple[Target, Sequence[str]]:
    """Give where a URL leads. ``what`` begins the sentences, such as "The package index".

    Raises AddressRefused where any of its addresses is not public (unless the policy allows the
    host), and DeploymentError where the host has none.
    """
    target = policy.check(url)
    try:
        addresses = await lookup(target.host, target.port)
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise DeploymentError(f"{what} cannot be asked: its host is not to be found.")
    for address in addresses:
        reason = why_refused(address)
        if reason is not None and not target.allowed:
            raise AddressRefused(
                f"{what} cannot be asked: its name leads to an address that is {reason}, not "
                "public.",
                url=str(target),
            )
    return target, addresses
