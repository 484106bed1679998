"""The oldest endpoints: `request NAME from body`, `response NAME status 201`, and steps such as
`rows = find(users) where "id = :id"`.

Each becomes the statement that somebody would write for it today, so whoever runs a program needs
to know nothing of them. What has no such statement is noted, and a runtime refuses it by its place.
"""

import re
from collections.abc import Iterator, Mapping

from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import spelled
from backstay.lang.check.implied import absent
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import BOOL, INT, STRING, UNKNOWN, assignable
from backstay.lang.check.world import Checker, EntityInfo
from backstay.lang.check.writes import Writes

SOURCES = ("body", "query", "path", "header")
_READS = ("find", "query", "findOne", "paginate")
_CHANGES = {"insert": "insert", "create": "insert", "update": "update", "patch": "update"}
_CHANGES |= {"delete": "delete", "remove": "delete"}
_VALUE = re.compile(r"(?<![\w:@$.])[:$@]?(?:(request)\.)?([A-Za-z_]\w*)")
_PARAMETER = re.compile(r"(?<![\w:@$.])(?:[:$]([A-Za-z_]\w*)|request\.([A-Za-z_]\w*))")
_EQUAL = re.compile(r"\s*([A-Za-z_]\w*)\s*==?\s*(\S+)\s*")
_FOUND = "found"
_OURS = ("user", "request", "path", "query", "body", "headers")
_FORBIDDEN, _MISSING = 403, 404


def of_table(k: Checker, name: str) -> EntityInfo | None:
    """The entity that a file of the first language means: by its name, or by its table."""
    for info in k.world.entities.values():
        if name.lower() in (info.name.lower(), info.table):
            return info
    return None


# --- what comes in -----------------------------------------------------------------------------


def sent(k: Checker, node: s.RequestNode, method: str, path: s.Path) -> tuple[p.Field, ...] | None:
    """The fields of `request NAME from body` or `query`, where NAME is an entity: those that a
    request may give. None where nothing says what they are."""
    info = k.world.entities.get(node.type.name)
    source = node.source.name
    if info is None or source == "path" or (source == "body" and method in ("GET", "DELETE")):
        return None
    k.use("entity", info.name)
    whole = source == "body" and method == "POST"
    return tuple(_given(info, whole=whole, besides=path.holes))


def _given(info: EntityInfo, *, whole: bool, besides: tuple[s.Ident, ...]) -> Iterator[p.Field]:
    named = {hole.name for hole in besides}
    for field in info.fields.values():
        set_by_others = field.auto or field.auto_update or field.name in named
        if set_by_others or isinstance(field.type, p.ManyType) or (field.primary and not whole):
            continue
        yield p.Field(
            field.name,
            field.type,
            required=whole and (field.required or field.primary),
            default=field.default if whole else None,
            minimum=field.minimum,
            maximum=field.maximum,
            pattern=field.pattern,
        )


def request(scope: Scope, source: str) -> p.Let:
    """`request` as a variable: what came from its source, and the parameters of the path."""
    place = {"header": "headers"}.get(source, source)
    values: dict[str, p.Expr] = {}
    fields: dict[str, p.Field] = {}
    for name in dict.fromkeys((place, "path")):
        kind = scope.variables.get(name)
        if not isinstance(kind, p.RecordType):
            continue
        scope.use(name)
        for field in kind.fields:
            values[field.name] = p.Get(p.Name(name, kind), field.name, field.type)
            fields[field.name] = p.Field(field.name, field.type, required=field.required)
    kind = p.RecordType(tuple(fields.values()))
    scope.variables["request"] = kind
    return p.Let("request", p.Record(tuple(values.items()), kind))


# --- steps -------------------------------------------------------------------------------------


class Steps:
    """The steps of one endpoint, one after the other. `last` is the value of the latest."""

    def __init__(self, k: Checker) -> None:
        self._k = k
        self.last: p.Expr | None = None
        self.one = False
        """Whether the latest looked for a single row."""

    def step(self, node: s.DoNode, scope: Scope) -> tuple[p.Statement, ...] | None:
        """The statements of a step; None where it has no meaning today."""
        call = node.call
        if not isinstance(call, s.CallExpr):
            return None
        name, args = spelled(call.callee).removeprefix("db."), call.args
        if name == "validate" and _plain(node) and _are(args, "request"):
            return ()  # what came in was judged before the first step
        if name == "authorize" and _plain(node) and len(args) == 2:
            return self._authorize(args[1])
        info = of_table(self._k, args[0].name) if args and isinstance(args[0], s.NameExpr) else None
        if info is None or info.key is None:
            return None
        self._k.use("entity", info.name)
        if name in _READS:
            return self._find(node, call, info, scope, one=name == "findOne")
        if name in _CHANGES and not node.options:
            return self._change(_CHANGES[name], node, call, info, scope)
        return None

    def _authorize(self, node: s.Expr) -> tuple[p.Statement, ...] | None:
        if not isinstance(node, s.Literal_) or not isinstance(node.value, str):
            return None
        role = node.value
        self._k.use("role", role)
        held = p.Call("user.has", (p.Constant(role, STRING),), BOOL)
        says = p.Constant(f"the role {role} is wanted", STRING)
        return (p.If(p.Unary("not", held, BOOL), (p.Fail(says, _FORBIDDEN),)),)

    def _find(
        self, node: s.DoNode, call: s.CallExpr, info: EntityInfo, scope: Scope, *, one: bool
    ) -> tuple[p.Statement, ...] | None:
        # The query language is read when a program has a query.
        from backstay.lang.check.queries import asked
        from backstay.lang.check.queries import where as check_where

        where = _text(node.where)
        if node.where is None and len(call.args) == 2 and info.key is not None:
            where = f"{info.key.name} = :{spelled(call.args[1])}"
        text = f"select from {info.name}"
        if where is not None:
            held = _names(where, scope)
            if held is None:
                return None
            text += f" where {held}"
        elif node.where is not None or len(call.args) > 1:
            return None
        for option in node.options:
            value = option.value
            if option.name.name not in ("limit", "offset") or not isinstance(value, s.Literal_):
                return None
            text += f" {option.name.name} {value.value}"
        into = _into(node)
        scope.variables[into] = UNKNOWN
        if node.where is not None and not check_where(self._k, node.where, info.name):
            return (p.Ask(into, text, UNKNOWN),)
        kind, parameters = asked(self._k, s.QueryNode(node.span, text), scope)
        scope.variables[into] = kind
        self.last, self.one = p.Name(into, kind), one
        return (p.Ask(into, text, kind, parameters),)

    def _change(
        self, what: str, node: s.DoNode, call: s.CallExpr, info: EntityInfo, scope: Scope
    ) -> tuple[p.Statement, ...] | None:
        record = scope.find("request")
        if not isinstance(record, p.RecordType):
            return None
        fields = {each.name: each for each in record.fields}
        whole = p.Name("request", record)
        if what == "insert":
            if node.where is not None or not _are(call.args[1:], "request"):
                return None
            return self._insert(node, info, whole, fields)
        key = _key(node, call, info, fields)
        if key is None:
            return None
        column, given = key
        test = p.Binary(
            "==",
            p.Column(column.name, column.type),
            p.Get(whole, given.name, given.type),
            BOOL,
        )
        if what == "delete":
            self.last = None
            count = p.Aggregate("count", info.name, "", test, INT)
            none = p.Binary("==", count, p.Constant(0, INT), BOOL)
            return (p.If(none, (absent(info),), (p.Delete(info.name, test),)),)
        values = tuple(_kept(info, whole, fields, besides=given.name))
        if not values:
            return None
        self.last = None
        if column.primary:
            self.last = p.Get(whole, given.name, p.RowType(info.name))
        return (p.Update(info.name, test, values, absent(info)),)

    def _insert(
        self, node: s.DoNode, info: EntityInfo, whole: p.Name, fields: Mapping[str, p.Field]
    ) -> tuple[p.Statement, ...]:
        values = [
            (name, p.Get(whole, name, field.type))
            for name, field in fields.items()
            if _fits(self._k, info, field)
        ]
        Writes(self._k).complete(info, {name for name, _ in values}, node.span)
        into = _into(node)
        self.last = p.Name(into, p.RowType(info.name))
        return (p.Create(info.name, tuple(values), into),)


def answer(
    k: Checker, steps: Steps, node: s.ResponseNode | None
) -> tuple[tuple[p.Statement, ...], p.Expr | None]:
    """What the steps answer: the value of the latest; where the response is an entity, one row of
    those that were found, and 404 without one."""
    last = steps.last
    if last is None or not isinstance(last.type, p.ListType):
        return (), last
    single = node is not None and node.type.name in k.world.entities
    if not (single or steps.one):
        return (), last
    none = p.Binary("==", p.Call("len", (last,), INT), p.Constant(0, INT), BOOL)
    fail = p.Fail(p.Constant("there is no such row", STRING), _MISSING)
    return (p.If(none, (fail,)),), p.ItemAt(last, p.Constant(0, INT), last.type.item)


def _into(node: s.DoNode) -> str:
    """The variable of a step. `user = find(…)` is not the one who asks."""
    name = node.target.name if node.target else _FOUND
    return _FOUND if name in _OURS else name


# --- words -------------------------------------------------------------------------------------


def _plain(node: s.DoNode) -> bool:
    return node.target is None and node.where is None and not node.options


def _are(args: tuple[s.Expr, ...], name: str) -> bool:
    return len(args) == 1 and isinstance(args[0], s.NameExpr) and args[0].name == name


def _text(node: s.Expr | None) -> str | None:
    return node.value if isinstance(node, s.Literal_) and isinstance(node.value, str) else None


def _names(where: str, scope: Scope) -> str | None:
    """The condition with its parameters as paths of variables; None for one that nobody has."""
    record = scope.find("request")
    fields = {each.name for each in record.fields} if isinstance(record, p.RecordType) else set()
    unknown = False

    def named(found: re.Match[str]) -> str:
        nonlocal unknown
        name = found.group(1) or found.group(2)
        if name in fields:
            return f"@request.{name}"
        unknown |= found.group(1) is None or scope.find(name) is None
        return f"@{name}"

    made = _PARAMETER.sub(named, where)
    return None if unknown else made


def _key(
    node: s.DoNode, call: s.CallExpr, info: EntityInfo, fields: Mapping[str, p.Field]
) -> tuple[p.Field, p.Field] | None:
    """The column that says which row, and the field of the request that it equals."""
    if node.where is None:
        named = [spelled(arg) for arg in call.args[1:]]
        key = info.key
        given = next((name for name in named if name in fields), key.name if key else "")
        pair = (key, fields.get(given))
    else:
        found = _EQUAL.fullmatch(_text(node.where) or "")
        value = _VALUE.fullmatch(found.group(2)) if found else None
        pair = (
            info.fields.get(found.group(1)) if found else None,
            fields.get(value.group(2)) if value else None,
        )
    column, held = pair
    if column is None or held is None or isinstance(column.type, p.ManyType):
        return None
    return column, held


def _fits(k: Checker, info: EntityInfo, field: p.Field) -> bool:
    held = info.fields.get(field.name)
    if held is None or isinstance(held.type, p.ManyType) or held.auto_update:
        return False
    return assignable(k, held.type, field.type)


def _kept(
    info: EntityInfo, whole: p.Name, fields: Mapping[str, p.Field], besides: str
) -> Iterator[tuple[str, p.Expr]]:
    """The columns that the request gives; what it leaves out stays."""
    for name, field in fields.items():
        held = info.fields.get(name)
        other = held is None or held.primary or held.auto_update or name == besides
        if other or held is None or isinstance(held.type, p.ManyType):
            continue
        given = p.Get(whole, name, field.type)
        yield name, p.Binary("??", given, p.Column(name, held.type), held.type)
