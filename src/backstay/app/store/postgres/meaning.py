"""Which errors of the driver and the server mean what for the work that met them.

SQLSTATEs decide, never texts: those are in the server's language.
"""

import asyncpg
from asyncpg import exceptions as pg

from backstay.app.store.errors import AWAY, REFUSED, SLOW, TROUBLE
from backstay.app.store.session import RowRule, RowTrouble, StoreTrouble
from backstay.core.errors import Fault


class Again(StoreTrouble):
    """The server wants the transaction done anew."""


class Broken(StoreTrouble):
    """The connection is gone; nothing was committed before that."""


STALE = (pg.InvalidCachedStatementError, pg.OutdatedSchemaCacheError)
"""A prepared statement no longer fits the tables."""
_AGAIN = (pg.SerializationError, pg.DeadlockDetectedError, *STALE)
_BROKEN = (
    pg.PostgresConnectionError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.CannotConnectNowError,
    pg.IdleInTransactionSessionTimeoutError,
    pg.ReadOnlySQLTransactionError,  # a standby answers where the primary was
    pg.InternalClientError,  # what the driver says when a farewell came while it did nothing
    OSError,
)
_RULES: tuple[tuple[type[Exception], RowRule], ...] = (
    (pg.UniqueViolationError, "unique"),
    (pg.ForeignKeyViolationError, "foreign key"),
    (pg.RestrictViolationError, "foreign key"),
    (pg.CheckViolationError, "check"),
    (pg.NotNullViolationError, "not null"),
    (pg.NumericValueOutOfRangeError, "range"),
    (pg.DatetimeFieldOverflowError, "range"),
    (asyncpg.DataError, "statement"),
    (pg.IntegrityConstraintViolationError, "statement"),
    (pg.SyntaxOrAccessError, "statement"),
    (pg.InvalidTransactionStateError, "statement"),
    (pg.InFailedSQLTransactionError, "statement"),
)
_OUTSIDE = (
    pg.InvalidAuthorizationSpecificationError,
    pg.InvalidCatalogNameError,
    pg.InsufficientPrivilegeError,
)


def trouble_of(failure: Exception) -> Exception:
    """What an error of asyncpg means to the work that met it: RowTrouble or StoreTrouble. What is
    neither (a mistake of ours) stays itself."""
    if isinstance(failure, _AGAIN):
        return Again(str(failure))
    if isinstance(failure, _BROKEN):
        return Broken(str(failure))
    for kind, rule in _RULES:
        if isinstance(failure, kind):
            return _refusal(failure, rule)
    if isinstance(failure, pg.PostgresError):
        return StoreTrouble(str(failure))
    if isinstance(failure, pg.InterfaceError):
        # "connection is closed" and its like; misuse of ours is an InterfaceError as well, and is
        # no less visible as a broken connection.
        return Broken(str(failure))
    return failure


def fault_of(failure: BaseException | None, where: str, seconds: float) -> Fault:
    """What people are told about a database that failed."""
    reason = _reason(failure)
    if isinstance(failure, pg.QueryCanceledError | pg.LockNotAvailableError | TimeoutError):
        return Fault(SLOW, seconds=f"{seconds:g}")
    if isinstance(failure, _OUTSIDE):
        return Fault(REFUSED, where=where, reason=reason)
    if isinstance(failure, _BROKEN) or not isinstance(failure, pg.PostgresError):
        return Fault(AWAY, where=where, reason=reason)
    state = getattr(failure, "sqlstate", None) or "unknown"
    return Fault(TROUBLE, where=where, reason=reason, state=state)


def _refusal(failure: Exception, rule: RowRule) -> RowTrouble:
    column = getattr(failure, "column_name", None)
    return RowTrouble(
        rule,
        str(failure),
        constraint=getattr(failure, "constraint_name", None) or "",
        columns=(column,) if column else (),
    )


def _reason(failure: BaseException | None) -> str:
    text = str(failure) if failure is not None else ""
    return text.splitlines()[0] if text else type(failure).__name__
