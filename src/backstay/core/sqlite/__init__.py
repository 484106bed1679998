"""SQLite as every system uses it: one owner, one writing thread, group commit."""

from backstay.core.sqlite.database import Database, Durability
from backstay.core.sqlite.reading import LongerError
from backstay.core.sqlite.schema import Schema
from backstay.core.sqlite.writer import Stats

__all__ = ["Database", "Durability", "LongerError", "Schema", "Stats"]
