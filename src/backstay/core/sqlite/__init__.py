"""SQLite as every system uses it: one owner, one writing thread, group commit."""

from backstay.core.sqlite.database import Database, Schema

__all__ = ["Database", "Schema"]
