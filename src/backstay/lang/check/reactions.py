"""What a step says about its own end: on_success, on_fail, on_empty; an action by its name, or
statements."""

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act
from backstay.lang.check.blocks import Members
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.types import STRING
from backstay.lang.check.world import Checker


def on_success(k: Checker, members: Members, scope: Scope) -> p.Said | None:
    return _said(k, members, "on_success", scope)


def on_fail(k: Checker, members: Members, scope: Scope) -> p.Said | None:
    """It knows the `error`."""
    inner = Scope(scope)
    inner.variables["error"] = STRING
    return _said(k, members, "on_fail", inner)


def on_empty(k: Checker, members: Members, gives: p.Type, scope: Scope) -> p.Said | None:
    """Of a step that walks a list or asks for something; what else it gives is never empty."""
    member = members.member("on_empty")
    if member is None:
        return None
    never = any(name in members for name in ("do", "emit", "signal"))
    one = "query" in members and isinstance(gives, p.ScalarType)
    asks = any(name in members for name in _ASK)
    if "for_each" not in members and (never or one or not asks):
        what = "'on_empty' has no use here: the step looks for nothing that could be empty"
        fix = "write it beside for_each, data, query, call, task, send or action"
        k.error(e.CONFLICT, member.name.span, what=what, fix=fix)
    return _said(k, members, "on_empty", scope)


_ASK = ("query", "call", "task", "send", "action", "activity")


def _said(k: Checker, members: Members, name: str, scope: Scope) -> p.Said | None:
    node = members.value(name, s.ActionNode)
    if node is not None:
        return act(k, node, scope)
    body = members.value(name, s.Body)
    return p.Deeds(Bodies(k).body(body, scope)) if body is not None else None
