"""What nothing in the program uses: a warning for each. A leading underscore says that it is meant.

Workflows are left out: people start them from outside. Names that others see (a field of a body)
are not renamed by the fix.
"""

from collections.abc import Iterator, Mapping

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang.check.world import (
    ANY_ROLE,
    Checker,
    EntityInfo,
    EventInfo,
    FunctionInfo,
    IntegrationInfo,
    name_span,
)
from backstay.lang.diagnostics import Edit, Span
from backstay.lang.reports import Reports

_Info = EntityInfo | EventInfo | FunctionInfo | IntegrationInfo


def unused(k: Checker, program: p.Program, files: Mapping[str, Reports]) -> None:
    """Declarations, variables and parameters that are never used. To be asked only of a program
    without errors: a part that could not be read may be the one that uses them."""
    world = k.world
    if world.incomplete or k.unread:
        return
    for kind, info in _declared(k, program):
        if info.name not in world.used.get(kind, ()) and not info.name.startswith("_"):
            _say(info.reports, name_span(info), kind, info.name, _removed(info))
    for name in _unused_roles(k, program) if _does_something(program) else ():
        span = world.named["role"][name]
        _say(files[span.file], span, "role", name)
    for reports, watched in k.watched:
        if not watched.used:
            title = f"name it _{watched.name}"
            edit = Edit(title, watched.span, f"_{watched.name}") if watched.renames else None
            reports.add(e.UNUSED, watched.span, edit=edit, what=watched.what, name=watched.name)


def _unused_roles(k: Checker, program: p.Program) -> Iterator[str]:
    """Roles that nobody asks for, neither by their name nor by what they permit."""
    asked = k.world.used.get("role", set())
    if ANY_ROLE in asked:
        return
    permits = {role.name: role.permissions for role in program.roles}
    for name in k.world.named["role"]:
        given = (name, *permits.get(name, ()))
        if not name.startswith("_") and not any(_covers(g, a) for g in given for a in asked):
            yield name


def _covers(given: str, asked: str) -> bool:
    """`papers:*` is any single part behind the colon, as when a request is judged."""
    held, wanted = given.split(":"), asked.split(":")
    return len(held) == len(wanted) and all(
        mine in ("*", theirs) for mine, theirs in zip(held, wanted, strict=True)
    )


def _declared(k: Checker, program: p.Program) -> Iterator[tuple[str, _Info]]:
    world = k.world
    yield from (("function", each) for each in world.functions.values())
    yield from (("event", each) for each in world.events.values())
    yield from (("integration", each) for each in world.integrations.values())
    if _does_something(program):
        # A model is a table that others may use, too.
        yield from (("entity", each) for each in world.entities.values() if not each.model)


def _does_something(program: p.Program) -> bool:
    """A file of entities alone is a part of a program, or its beginning."""
    return bool(program.endpoints or program.workflows or program.jobs)


def _removed(info: _Info) -> Edit:
    """The declaration goes as a whole."""
    info.reports.base = info.declaration.line
    return Edit("remove it", info.reports.at(info.declaration.span), "")


def _say(reports: Reports, span: Span, what: str, name: str, edit: Edit | None = None) -> None:
    reports.add(e.UNUSED, span, edit=edit, what=what, name=name)
