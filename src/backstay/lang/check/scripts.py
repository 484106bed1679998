"""Scripts: functions of the program, and the statements that stand at the top level."""

from collections.abc import Iterable

from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.types import UNKNOWN, resolve
from backstay.lang.check.world import Checker, FunctionInfo
from backstay.lang.reports import Reports


def declare_function(k: Checker, info: FunctionInfo) -> None:
    """Types of parameters and result, before any call is looked at; scripts leave them out."""
    k.turn_to(info.reports, info.declaration)
    info.params = tuple(
        p.Field(each.name.name, resolve(k, each.type) if each.type else UNKNOWN, required=True)
        for each in info.node.params
    )
    info.result = resolve(k, info.node.result) if info.node.result else UNKNOWN


def function(k: Checker, info: FunctionInfo, globals_: Scope) -> p.Function:
    """The checked function. It sees the variables of the script, as they are then."""
    k.turn_to(info.reports, info.declaration)
    bodies = Bodies(k, mode="function", result=info.result)
    body = bodies.function(info.node, info.params, globals_)
    return p.Function(info.name, info.params, body, info.result)


def script(
    k: Checker, nodes: Iterable[tuple[Reports, s.Declaration]]
) -> tuple[tuple[p.Statement, ...], Scope]:
    """The statements at the top level, in the order of files and lines, and their scope."""
    scope = Scope()
    scope.script = True
    scope.lenient = k.world.incomplete
    bodies = Bodies(k, mode="script")
    found: list[p.Statement] = []
    for reports, node in nodes:
        statement = node.statement
        if statement is None or isinstance(statement, s.HandlerNode | s.FunctionNode | s.TestNode):
            continue
        k.turn_to(reports, node)
        made = bodies.one(statement, scope)
        if made is not None:
            found.append(made)
    return tuple(found), scope
