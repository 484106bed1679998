"""The database that config speaks of, against the `database` blocks."""

from collections.abc import Sequence

from backstay.lang import errors as e
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.world import Checker
from backstay.lang.reports import Reports

Files = Sequence[tuple[s.File, Reports]]


def databases(k: Checker, files: Files) -> None:
    """Config and blocks name one kind of database."""
    configs = list(_of_kind(files, "config"))
    blocks = list(_of_kind(files, "database"))
    if not configs or k.world.incomplete:
        return
    reports, config = configs[0]
    k.turn_to(reports, config)
    members = Members(k, config.block)
    kind = _word(members.expression("database_type"))
    if kind is None:
        return
    where = members.member("database_type")
    span = where.name.span if where else config.keyword.span
    if kind not in ("postgres", "mongodb"):
        what = "invalid database_type: must be 'postgres' or 'mongodb'"
        k.error(e.DATABASE_DISAGREES, span, what=what, fix='write database_type: "postgres"')
        return
    for name in ("mongodb_uri", "mongodb_database") if kind == "mongodb" else ():
        if name not in members and not config.block.broken:
            what = f"{name} is required when database_type is 'mongodb'"
            k.error(e.DATABASE_DISAGREES, span, what=what, fix=f"add {name}: …")
    if kind == "mongodb" and not any(_name(each) == "mongodb" for _, each in blocks):
        what = "config specifies database_type 'mongodb' but no mongodb database block found"
        k.error(e.DATABASE_DISAGREES, span, what=what, fix="add database mongodb { … }")
        return
    for block_reports, block in blocks:
        if _name(block) != kind:
            k.turn_to(block_reports, block)
            what = (
                f"database block type '{_name(block)}' does not match config database_type"
                f" '{kind}'; all database blocks must match the configured database type"
            )
            at = block.name.span if block.name else block.keyword.span
            k.error(e.DATABASE_DISAGREES, at, what=what, fix=f"write database {kind}")


def _of_kind(files: Files, kind: str) -> list[tuple[Reports, s.Declaration]]:
    return [
        (reports, each)
        for file, reports in files
        for each in file.declarations
        if each.keyword.name == kind
    ]


def _name(node: s.Declaration) -> str:
    return node.name.name if node.name else ""


def _word(node: s.Expr | None) -> str | None:
    match node:
        case s.Literal_(literal="string", value=str(text)):
            return text
        case s.NameExpr(name=name):
            return name
    return None
