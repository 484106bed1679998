"""What members say by name: actions, settings, checks, rates."""

from collections.abc import Iterator

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members, duration_of
from backstay.lang.check.expressions import condition, lower, typed
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import INT, STRING, UNKNOWN
from backstay.lang.check.values import fit
from backstay.lang.check.world import Checker, EventInfo

ACTIONS = (
    "rollback",
    "reject",
    "retry",
    "skip",
    "ignore",
    "notify",
    "email",
    "slack",
    "sms",
    "webhook",
    "kafka",
    "emit",
    "start",
    "create",
    "update",
    "delete",
    "generate_report",
    "log_debug",
    "log_info",
    "log_warning",
    "log_error",
)
"""What an action may be besides a workflow, a function or a `cancel_…` of the program."""


def act(k: Checker, node: s.ActionNode, scope: Scope) -> p.Act:
    """`rollback`, `emit(Done)`, `email(to) { subject: "…" }`."""
    made = _called(k, node.what, scope)
    options = tuple((each.name.name, _value(k, each.value, scope)) for each in node.options)
    return p.Act(made.name, made.args, options)


def call_statement(k: Checker, node: s.DoNode, scope: Scope, *, free: bool) -> p.Act:
    """A call as a statement. `free`: any action may be meant, as in the oldest endpoints."""
    made = _called(k, node.call, scope, free=free)
    if node.target is not None or node.where is not None or not _of_transaction(k, made.name):
        k.note("statement.action", node.span)
    where = lower(k, node.where, scope) if node.where is not None else None
    if node.where is not None:
        # The query language is read when a program has a query.
        from backstay.lang.check.queries import where as check_where

        check_where(k, node.where, _rows_of(k, node.call))
    options = tuple((each.name.name, _value(k, each.value, scope)) for each in node.options)
    into = node.target.name if node.target else ""
    return p.Act(made.name, made.args, options, where, into)


def _of_transaction(k: Checker, name: str) -> bool:
    """Whether the action is done in the transaction that the statement stands in."""
    return name in ("emit", "start", *k.world.workflows) or name.startswith("log_")


def _rows_of(k: Checker, node: s.Expr) -> str:
    """The entity whose rows `find(users)` looks for, by its name or table; or nothing."""
    match node:
        case s.CallExpr(args=(s.NameExpr(name=name), *_)):
            for each in k.world.entities.values():
                if name.lower() in (each.name.lower(), each.table):
                    return each.name
    return ""


def _called(k: Checker, node: s.Expr, scope: Scope, *, free: bool = False) -> p.Act:
    match node:
        case s.CallExpr(callee=callee, args=args):
            name = spelled(callee)
            if not free:
                _known(k, callee, name)
            if name == "emit" and len(args) == 1:
                _event_named(k, args[0])
                return p.Act(name, (p.Constant(spelled(args[0]), STRING),))
            if name == "start" and len(args) == 1 and _is_no_workflow(k, args[0], scope):
                return p.Act(name)
            values = tuple(_value(k, arg, scope, free=free) for arg in args)
            return p.Act(name, values)
        case s.NameExpr() | s.Dot():
            name = spelled(node)
            _known(k, node, name)
            return p.Act(name)
    k.error(e.NOT_CONSTANT, node.span, what="an action", wanted="a name or a call")
    return p.Act("")


def _is_no_workflow(k: Checker, node: s.Expr, scope: Scope) -> bool:
    """Whether `start(NAME)` names nothing that there is; reports it."""
    if not isinstance(node, s.NameExpr) or scope.find(node.name) is not None or scope.lenient:
        return False
    if node.name in k.world.workflows or k.world.incomplete:
        return False
    k.unknown(e.UNKNOWN_WORKFLOW, node, k.world.workflows)
    return True


def _event_named(k: Checker, node: s.Expr) -> None:
    if isinstance(node, s.NameExpr | s.Dot):
        k.event(s.Ident(node.span, spelled(node)))


def _known(k: Checker, node: s.Expr, name: str) -> None:
    world = k.world
    if name in world.functions:
        k.use("function", name)
    elif name in world.workflows:
        k.use("workflow", name)
    elif "." in name:
        _operation(k, node)
    elif not (name in ACTIONS or name.startswith(("cancel_", "log_"))):
        known = (*ACTIONS, *world.workflows, *world.functions)
        if not world.incomplete:
            k.unknown(e.UNKNOWN_ACTION, s.Ident(node.span, name), known)


def _operation(k: Checker, node: s.Expr) -> None:
    """`Payments.refund`: an operation of the program, or somebody else's command of that name. A
    name close to an integration is a slip."""
    match node:
        case s.Dot(of=s.NameExpr(name=name) as head, field=field):
            pass
        case _:
            return
    integrations = k.world.integrations
    info = integrations.get(name)
    if info is not None:
        k.use("integration", name)
        if field.name not in info.operations and not info.broken:
            k.unknown(e.UNKNOWN_OPERATION, field, info.operations, integration=name)
    elif nearest(name, integrations) is not None and not k.world.incomplete:
        k.unknown(e.UNKNOWN_INTEGRATION, head, integrations)


def _value(k: Checker, node: s.Expr, scope: Scope, *, free: bool = False) -> p.Expr:
    """An argument; the bare name of a declaration stands for itself."""
    if isinstance(node, s.NameExpr) and scope.find(node.name) is None:
        world = k.world
        declared = (world.entities, world.workflows, world.events, world.integrations)
        if free or any(node.name in each for each in declared):
            return p.Constant(node.name, STRING)
    return lower(k, node, scope)


def spelled(node: s.Expr) -> str:
    """A dotted name as it is written."""
    match node:
        case s.NameExpr(name=name):
            return name
        case s.Dot(of=of, field=field):
            return f"{spelled(of)}.{field.name}"
        case s.Literal_(literal="string", value=str(text)):
            return text
    return ""


# --- settings ----------------------------------------------------------------------------------


def settings(k: Checker, node: s.Value | None) -> p.Settings | None:
    """Settings of any names, flattened to dotted ones."""
    if node is None:
        return None
    label = ""
    match node:
        case s.Labelled(label=s.Ident(name=name), block=block):
            return p.Settings(name, tuple(_flat(k, block, "")))
        case s.Block():
            return p.Settings("", tuple(_flat(k, node, "")))
        case s.ActionNode(what=what, options=options):
            values = [(each.name.name, setting_value(k, each.value)) for each in options]
            inner = settings(k, what)
            said = inner.values if inner else ()
            return p.Settings(inner.label if inner else "", (*said, *values))
        case s.CallExpr(callee=callee, args=args):
            label = spelled(callee)
            if label != "env":
                found = tuple((str(i), setting_value(k, arg)) for i, arg in enumerate(args))
                return p.Settings(label, found)
        case s.NameExpr(name=name):
            return p.Settings(name, ())
    expr = as_expr(node)
    return p.Settings("", (("", setting_value(k, expr)),)) if expr is not None else None


def _flat(k: Checker, block: s.Block, prefix: str) -> Iterator[tuple[str, p.Expr]]:
    for member in block.members:
        name = f"{prefix}{member.name.name}"
        match member.value:
            case s.Block() as inner:
                yield from _flat(k, inner, f"{name}.")
            case s.RetryNode(times=times):
                yield name, p.Constant(times.value, INT)
            case s.Labelled(label=label, block=inner):
                yield name, p.Constant(label.name, STRING)
                yield from _flat(k, inner, f"{name}.")
            case value:
                expr = as_expr(value)
                if expr is not None:
                    _secret(k, member.name.name, expr)
                    yield name, setting_value(k, expr)


def as_expr(node: s.Value | None) -> s.Expr | None:
    """The value if it is an expression."""
    expressions = s.Literal_ | s.Text | s.NameExpr | s.Dot | s.CallExpr | s.BinaryExpr
    more = s.UnaryExpr | s.RecordExpr | s.ListExpr | s.Each | s.Where | s.Choice | s.Item
    return node if isinstance(node, expressions | more | s.Lambda) else None


def setting_value(k: Checker, node: s.Expr) -> p.Expr:
    """The value of a setting; a bare word is a text."""
    match node:
        case s.NameExpr(name=name):
            return p.Constant(name, STRING)
        case s.CallExpr(callee=s.NameExpr(name=name)) if name != "env":
            return p.Call(name, tuple(setting_value(k, arg) for arg in node.args), UNKNOWN)
        case s.ListExpr(items=items):
            return p.Listed(tuple(setting_value(k, each) for each in items), UNKNOWN)
    scope = outside()
    scope.lenient = True
    return lower(k, node, scope)


def outside() -> Scope:
    """Where `env()` may be read."""
    scope = Scope()
    scope.env = True
    return scope


_SECRETS = ("secret", "password", "token", "api_key", "apikey", "private_key", "secret_key")


def _secret(k: Checker, name: str, node: s.Expr) -> None:
    """A secret in the file is read by everyone who reads the file."""
    if not name.lower().endswith(_SECRETS):
        return
    if isinstance(node, s.Literal_) and node.literal == "string" and node.value:
        k.error(e.LITERAL_SECRET, node.span, name=name, env=name.upper())


secret = _secret


def headers(k: Checker, node: s.RecordExpr | None) -> tuple[tuple[str, p.Expr], ...]:
    """`headers { "X-Name": value }`."""
    if node is None:
        return ()
    found = []
    for each in node.fields:
        if each.name.name.lower() in ("authorization", "x-api-key"):
            _secret(k, "token", each.value)
        found.append((each.name.name, setting_value(k, each.value)))
    return tuple(found)


# --- checks and rates --------------------------------------------------------------------------


def check(k: Checker, node: s.CheckNode, scope: Scope) -> p.Check:
    """`COND else "message"`."""
    test = condition(k, node.condition, scope, "the check")
    message = typed(k, node.message, scope, STRING, "the message") if node.message else None
    return p.Check(test, message)


def rate(k: Checker, node: s.Value | None, name: str) -> p.Rate | None:
    """`100 per 1m`; a block gives `requests` and `window`."""
    match node:
        case None:
            return None
        case s.RateNode(count=count, period=period):
            seconds = duration_of(period)
            return p.Rate(int(count.value or 0), seconds or 0.0)
        case s.Block():
            members = Members(k, node)
            requests = members.integer("requests", 0, 1, 10**9)
            return p.Rate(requests, members.seconds("window", members.seconds("per", 1.0)))
        case s.Literal_(literal="int", value=int(count)):
            return p.Rate(count, 1.0)
    wanted = "a rate such as 100 per 1m"
    k.error(e.NOT_CONSTANT, node.span, what=f"'{name}'", wanted=wanted)
    return None


def emitted(k: Checker, node: s.EmitNode, scope: Scope) -> p.Emit:
    """`emit EVENT { field: EXPR }` against the payload."""
    info = k.event(node.event)
    values: dict[str, p.Expr] = {}
    fields = {field.name: field for field in info.fields} if info else {}
    for entry in node.values:
        name = entry.name.name
        if name in values:
            k.error(e.DUPLICATE_MEMBER, entry.name.span, name=name)
        value = lower(k, entry.value, scope)
        field = fields.get(name)
        if field is not None:
            value = fit(k, value, field.type, entry.value.span, f"field '{name}'")
        elif info is not None and not info.broken:
            k.unknown(e.UNKNOWN_FIELD, entry.name, fields, owner=f"event '{info.name}'")
        values[name] = value
    if info is not None:
        _complete(k, info, node, values)
    return p.Emit(info.name if info else node.event.name, tuple(values.items()))


def _complete(k: Checker, info: EventInfo, node: s.EmitNode, given: dict[str, p.Expr]) -> None:
    known = {field.name for field in info.fields}
    if any(name not in known for name in given):
        return
    for field in info.fields:
        if field.required and field.default is None and field.name not in given:
            owner = f"emit {info.name}"
            k.error(e.MISSING_VALUE, node.event.span, owner=owner, name=field.name)
