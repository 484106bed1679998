"""Every name of a program, before anything is looked at in detail: order does not matter."""

from collections.abc import Iterable, Sequence

from backstay.core.errors import Plain
from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.diagnostics import Edit, Related, Span
from backstay.lang.names import listed, suggestion
from backstay.lang.reports import Reports


class EntityInfo:
    """An entity while it is being checked. `broken`: some fields could not be read; `refs` lists
    its ref fields by the entity they point to; `soft`: its deleted rows are kept; `model`: it is
    one of a `database` block."""

    __slots__ = (
        "broken",
        "declaration",
        "fields",
        "key",
        "model",
        "name",
        "refs",
        "reports",
        "soft",
        "table",
    )

    def __init__(self, name: str, declaration: s.Declaration, reports: Reports) -> None:
        self.name = name
        self.declaration = declaration
        self.reports = reports
        self.table = table_name(name)
        self.broken = declaration.block.broken
        self.fields: dict[str, p.Field] = {}
        self.refs: dict[str, list[str]] = {}
        self.key: p.Field | None = None
        self.model = False
        self.soft = any(
            isinstance(each.value, s.Literal_) and each.value.value is True
            for each in declaration.block.members
            if each.name.name == "soft_delete"
        )


class WorkflowInfo:
    """A workflow's inputs, which every `start` is held against."""

    __slots__ = ("broken", "declaration", "input", "name", "reports")

    def __init__(self, name: str, declaration: s.Declaration, reports: Reports) -> None:
        self.name = name
        self.declaration = declaration
        self.reports = reports
        self.input: tuple[p.Field, ...] = ()
        self.broken = declaration.block.broken


class IntegrationInfo:
    """An integration's operations, which every `call` is held against."""

    __slots__ = ("broken", "declaration", "name", "operations", "reports")

    def __init__(self, name: str, declaration: s.Declaration, reports: Reports) -> None:
        self.name = name
        self.declaration = declaration
        self.reports = reports
        self.operations: dict[str, p.Operation] = {}
        self.broken = declaration.block.broken


class FunctionInfo:
    """A function's parameters and result, which every call is held against."""

    __slots__ = ("declaration", "name", "node", "params", "reports", "result")

    def __init__(
        self, name: str, declaration: s.Declaration, reports: Reports, node: s.FunctionNode
    ) -> None:
        self.name = name
        self.declaration = declaration
        self.reports = reports
        self.node = node
        self.params: tuple[p.Field, ...] = ()
        self.result: p.Type = p.UnknownType()


class EventInfo:
    """An event's payload, which every `emit` is held against."""

    __slots__ = ("broken", "declaration", "fields", "name", "reports")

    def __init__(self, name: str, declaration: s.Declaration, reports: Reports) -> None:
        self.name = name
        self.declaration = declaration
        self.reports = reports
        self.fields: tuple[p.Field, ...] = ()
        self.broken = declaration.block.broken


class Watched:
    """A name that somebody should use: `what` says what it is."""

    __slots__ = ("name", "renames", "span", "used", "what")

    def __init__(self, what: str, name: str, span: Span, *, renames: bool) -> None:
        self.what = what
        self.name = name
        self.span = span
        self.renames = renames
        self.used = False


class World:
    """All declarations by name. `incomplete`: a declaration was lost, so an unknown name may be
    one of a lost declaration and is not reported."""

    def __init__(self) -> None:
        self.entities: dict[str, EntityInfo] = {}
        self.workflows: dict[str, WorkflowInfo] = {}
        self.integrations: dict[str, IntegrationInfo] = {}
        self.functions: dict[str, FunctionInfo] = {}
        self.events: dict[str, EventInfo] = {}
        self.named: dict[str, dict[str, Span]] = {
            kind: {} for kind in ("role", "auth", "middleware", "webhook")
        }
        self.received: set[str] = set()
        """The webhooks that others call."""
        self.used: dict[str, set[str]] = {}
        self.has_auth = False
        self.incomplete = False

    @property
    def knows_users(self) -> bool:
        """Whether config or a provider says who issues tokens."""
        return self.has_auth or bool(self.named["auth"])


class Checker:
    """The world plus the file that is being looked at: what every check needs to speak."""

    def __init__(self, world: World, reports: Reports) -> None:
        self.world = world
        self.reports = reports
        self.quiet = False
        """What is looked at is not served, so nobody has to know what it uses."""
        self.entities: p.Program | None = None
        """The entities alone, for queries; None while one of them is broken."""
        self.watched: list[tuple[Reports, Watched]] = []
        self.unread = False
        """A query could not be read: what it uses is not known."""
        self._unknowns: dict[tuple[str, str, str], tuple[Reports, int]] = {}

    def use(self, kind: str, name: str) -> None:
        """Remember that a declaration is spoken of."""
        self.world.used.setdefault(kind, set()).add(name)

    def event(self, name: s.Ident) -> "EventInfo | None":
        """The event of this name, in whichever spelling; reports when there is none."""
        found = find_event(self.world, name.name)
        if found is not None:
            self.use("event", found.name)
        elif not self.world.incomplete:
            self.unknown(e.UNKNOWN_EVENT, name, self.world.events)
            meant = nearest(name.name, self.world.events)
            if meant is not None:
                # The slip is said; that nobody speaks of the right name follows from it.
                self.use("event", meant)
        return found

    def note(self, construct: str, span: s.Range) -> None:
        """Remember that the program uses a construct, for whoever has to run it."""
        if not self.quiet:
            self.reports.note(construct, self.reports.at(span))

    def turn_to(self, reports: Reports, declaration: s.Declaration) -> None:
        """From now on ranges are those of `declaration`."""
        self.reports = reports
        reports.base = declaration.line

    def error(
        self,
        rule: e.Rule,
        span: s.Range,
        *,
        edit: Edit | None = None,
        expected: Sequence[str] = (),
        related: Sequence[Related] = (),
        **values: Plain,
    ) -> None:
        place = self.reports.at(span)
        self.reports.put(rule, place, values, edit=edit, expected=expected, related=related)

    def unknown(
        self, rule: e.Rule, name: s.Ident | s.NameExpr, known: Iterable[str], **values: Plain
    ) -> None:
        """Report a name that is not one of `known`, with the nearest one."""
        if self.reports.full:
            self.reports.dropped += 1
            return
        span = self.reports.at(name.span)
        key = (rule.code, name.name, str(values))
        first = self._unknowns.get(key)
        if first is not None:
            # One wrong name is one mistake, wherever it is used.
            first[0].also(first[1], Related(span, "used here, too"))
            return
        names = tuple(known)
        edit = None if self.reports.crowded else suggestion(name.name, names, span)
        said: dict[str, Plain] = {**values, "name": name.name, "known": listed(names)}
        self._unknowns[key] = (self.reports, len(self.reports.found))
        self.reports.put(rule, span, said, edit=edit, expected=names[:20])

    def entity(self, name: s.Ident | s.NameExpr) -> EntityInfo | None:
        """The entity of this name; reports when there is none."""
        found = self.world.entities.get(name.name)
        self.use("entity", name.name)
        if found is None and not self.world.incomplete:
            self.unknown(e.UNKNOWN_ENTITY, name, self.world.entities)
        return found


def find_event(world: World, name: str) -> EventInfo | None:
    """`user_created` and `user.created` are one event."""
    return world.events.get(name) or world.events.get(name.replace(".", "_"))


ANY_ROLE = "*"
"""Used as a role: which one it is, is known only when the program runs."""

RESERVED_PATHS = frozenset({"workflows", "executions", "admin", "jobs", "events"})
_RUNTIME_TABLES = frozenset(
    {"steps", "attempts", "outbox", "inbox", "timers", "job_runs"} | RESERVED_PATHS
)


def reserved_table(name: str) -> bool:
    """Whether the runtime owns, or keeps for itself, the table of this name."""
    return name in _RUNTIME_TABLES or name.startswith("backstay_")


def table_name(entity: str) -> str:
    """`OrderLine` is stored in `order_lines`, `Category` in `categories`, `DailySales` in
    `daily_sales`."""
    words = []
    for place, letter in enumerate(entity):
        if letter.isupper() and place and not entity[place - 1].isupper():
            words.append("_")
        words.append(letter.lower())
    text = "".join(words)
    if text.endswith("y") and text[-2:-1] not in "aeiou":
        return text[:-1] + "ies"
    if text.endswith(("ss", "x", "ch", "sh", "z")):
        return text + "es"
    return text if text.endswith("s") else text + "s"


def collect(files: Sequence[tuple[s.File, Reports]]) -> World:
    """Names of all files; a name that stands twice is reported at its second place."""
    world = World()
    tables: dict[str, Span] = {}
    for file, reports in files:
        world.incomplete |= file.incomplete
        for declaration in file.declarations:
            reports.base = declaration.line
            name = declaration.name
            if name is None:
                continue
            kind = declaration.keyword.name
            if kind == "entity" and _is_new(world.entities, name, reports):
                info = EntityInfo(name.name, declaration, reports)
                world.entities[name.name] = info
                _table_is_free(info, name, reports, tables)
            elif kind == "workflow" and _is_new(world.workflows, name, reports):
                world.workflows[name.name] = WorkflowInfo(name.name, declaration, reports)
            elif kind == "integration" and _is_new(world.integrations, name, reports):
                world.integrations[name.name] = IntegrationInfo(name.name, declaration, reports)
            elif kind == "event":
                _event(world, name, declaration, reports)
            elif kind in world.named:
                _named(world, name, declaration, reports)
            elif isinstance(declaration.statement, s.FunctionNode):
                _function(world, name, declaration, reports)
    return world


def _event(world: World, name: s.Ident, declaration: s.Declaration, reports: Reports) -> None:
    first = find_event(world, name.name)
    if first is not None:
        _twice("event", name, reports, name_span(first))
        return
    info = EventInfo(name.name, declaration, reports)
    world.events[name.name.replace(".", "_")] = info


_WORDS = {"auth": "auth provider"}


def _named(world: World, name: s.Ident, declaration: s.Declaration, reports: Reports) -> None:
    kind, span = declaration.keyword.name, reports.at(name.span)
    first = world.named[kind].setdefault(name.name, span)
    if first is not span:
        _twice(_WORDS.get(kind, kind), name, reports, first)
    if any(member.name.name == "receive" for member in declaration.block.members):
        world.received.add(name.name)


def _twice(what: str, name: s.Ident, reports: Reports, first: Span) -> None:
    related = (Related(first, "first declared here"),)
    place = f"{first.file}:{first.line}:{first.column}"
    span = reports.at(name.span)
    reports.add(e.DUPLICATE_NAMED, span, related=related, what=what, name=name.name, place=place)


BUILTIN = ("print", "len")


def _function(world: World, name: s.Ident, declaration: s.Declaration, reports: Reports) -> None:
    node = declaration.statement
    if not isinstance(node, s.FunctionNode):
        return
    first = world.functions.get(name.name)
    if first is not None or name.name in BUILTIN:
        related = () if first is None else (Related(name_span(first), "first declared here"),)
        span = reports.at(name.span)
        reports.add(e.DUPLICATE_DECLARATION, span, related=related, name=name.name)
        return
    world.functions[name.name] = FunctionInfo(name.name, declaration, reports, node)


Info = EntityInfo | WorkflowInfo | IntegrationInfo | EventInfo | FunctionInfo


def name_span(info: Info) -> Span:
    """Where the name of a declaration stands, from anywhere."""
    name = info.declaration.name or info.declaration.keyword
    line = info.declaration.line + name.span.line
    return Span(info.reports.file, line, name.span.column, line, name.span.end_column)


def _is_new(
    known: "dict[str, EntityInfo] | dict[str, WorkflowInfo] | dict[str, IntegrationInfo]",
    name: s.Ident,
    reports: Reports,
) -> bool:
    first = known.get(name.name)
    if first is None:
        return True
    related = Related(name_span(first), "first declared here")
    reports.add(e.DUPLICATE_DECLARATION, reports.at(name.span), related=(related,), name=name.name)
    return False


def _table_is_free(
    info: EntityInfo, name: s.Ident, reports: Reports, tables: dict[str, Span]
) -> None:
    span = reports.at(name.span)
    if reserved_table(info.table):
        reports.add(e.RESERVED_NAME, span, name=name.name, what=f"table, {info.table}")
        return
    first = tables.setdefault(info.table, span)
    if first is not span:
        related = Related(first, "first declared here")
        reports.add(e.DUPLICATE_DECLARATION, span, related=(related,), name=name.name)
