"""The schema's steps: which a database has seen, and how it gets the rest."""

from comfynb.errors import StoreError, StoreTooNew
from comfynb.models import utcnow
from comfynb.store.database import Database, Session
from comfynb.store.statements import Migration, migrations

__all__ = ["applied", "migrate"]

_CREATE = """
create table schema_version (
    version bigint primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null
)
"""


def applied(session: Session) -> dict[int, str]:
    """Return the checksum of each step that the database has seen."""
    if not session.has_table("schema_version"):
        return {}
    rows = session.execute("select version, checksum from schema_version order by version")
    return {int(version): str(checksum) for version, checksum in rows}


def migrate(database: Database, steps: tuple[Migration, ...] | None = None) -> None:
    """Bring the schema up to date, each step in one transaction; raises StoreTooNew.

    An existing database is copied aside first, where it is a file of ours.
    """
    if steps is None:
        steps = migrations(database.dialect)
    seen = max(applied(database.writer), default=0)
    newest = steps[-1].version
    if seen > newest:
        raise StoreTooNew(
            f"{database.place} has schema {seen}, but this comfynb knows only up to {newest}: "
            "upgrade comfynb.",
            path=database.place,
        )
    if seen == newest:
        return
    if seen:
        database.backup(f".bak-v{seen}")
    for step in steps[seen:]:
        _apply(database, step)


def _apply(database: Database, step: Migration) -> None:
    session = database.writer
    session.begin()
    try:
        if step.version == 1:
            session.execute(_CREATE)
        session.script(step.sql)
        session.execute(
            "insert into schema_version (version, name, checksum, applied_at) "
            "values ($1, $2, $3, $4)",
            [step.version, step.name, step.checksum, utcnow()],
        )
        session.commit()
    except StoreError as error:
        session.rollback()
        raise StoreError(
            f"{database.place} could not be brought to schema {step.version} "
            f"({str(error).rstrip('.')}); it is as it was before.",
            path=database.place,
        ) from error
    except BaseException:
        session.rollback()
        raise
