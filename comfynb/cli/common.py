"""What the commands have in common: errors as sentences, and where the store is."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from comfynb.errors import ComfynbError

__all__ = ["sentences", "store_option"]


@contextmanager
def sentences() -> Iterator[None]:
    """Show our own errors as the sentence that they are, without a traceback."""
    try:
        yield
    except ComfynbError as error:
        raise click.ClickException(str(error)) from None


store_option = click.option(
    "--store",
    envvar="COMFYNB_STORE",
    default="comfynb.duckdb",
    show_default=True,
    help="The DuckDB file.",
)
