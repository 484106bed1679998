"""Runs a script, step by step, within bounds.

Pure: what is printed goes to a callback, commands go to a runner that is handed in, and functions
of the world outside (`now`) as well. The program has been checked before.
"""

from collections.abc import Callable, Sequence

from backstay.lang import syntax as s
from backstay.lang.library import operators as o
from backstay.lang.library import values as v
from backstay.lang.library.values import Value
from backstay.lang.script import errors as e
from backstay.lang.script.expressions import Expressions
from backstay.lang.script.machine import MAX_CALLS, Limits, Outside, Scope


class _Returned(Exception):  # noqa: N818 - a jump out of a function
    def __init__(self, value: Value) -> None:
        self.value = value


def run(
    files: Sequence[s.File],
    write: Callable[[str], object],
    outside: Outside | None = None,
    limits: Limits | None = None,
) -> int:
    """Run the statements at the top level of all files, in order; returns the steps taken.

    Raises the faults of `script.errors`, with the place of the statement.
    """
    script = Script(files, write, outside or Outside(), limits or Limits())
    with_bounds(script, script.run)
    return script.steps


def with_bounds(script: "Script", work: Callable[[], object]) -> None:
    """Runs a part of the script. What the machine cannot hold is a fault of the script."""
    try:
        work()
    except RecursionError:
        raise script.fault(e.CALLS_TOO_DEEP, limit=MAX_CALLS) from None


class Script(Expressions):
    """The statements of a program's files."""

    def __init__(
        self,
        files: Sequence[s.File],
        write: Callable[[str], object],
        outside: Outside,
        limits: Limits,
    ) -> None:
        super().__init__(outside, limits)
        self.files = files
        self._write = write
        self.top = Scope()
        self.functions = {}
        self.entities = set()
        self.variables = set()
        for file in files:
            for each in file.declarations:
                if each.keyword.name == "entity" and each.name:
                    self.entities.add(each.name.name)
                if isinstance(each.statement, s.VarNode):
                    self.variables.add(each.statement.name.name)
                if isinstance(each.statement, s.FunctionNode):
                    node = each.statement
                    self.functions[node.name.name] = (file.name, each.line, node)

    def run(self) -> None:
        """Every statement at the top level."""
        for file in self.files:
            for each in file.declarations:
                if each.statement is not None and not isinstance(
                    each.statement, s.HandlerNode | s.FunctionNode | s.TestNode
                ):
                    self.turn_to(file, each)
                    self.statement(each.statement, self.top)

    def turn_to(self, file: s.File, declaration: s.Declaration) -> None:
        """From now on places are those of `declaration`."""
        self.file, self.base = file.name, declaration.line

    def write(self, text: str) -> None:
        self._write(text)

    def perform(self, body: s.Body, scope: Scope) -> Value:
        try:
            self.body(body, scope)
        except _Returned as returned:
            return returned.value
        return None

    # --- statements ---

    def body(self, node: s.Body, scope: Scope) -> None:
        """All statements, in a scope of their own."""
        inner = Scope(scope)
        for each in node.statements:
            self.statement(each, inner)

    def statement(self, node: s.StatementNode, scope: Scope) -> None:
        """Raises the faults of `script.errors`."""
        self.step(node)
        match node:
            case s.VarNode(name=name, value=value):
                scope.values[name.name] = self.value(value, scope)
            case s.LetNode(name=name, value=value) if not isinstance(
                value,
                s.CreateNode | s.StartNode | s.QueryNode | s.GivenNode | s.RunNode | s.VisitNode,
            ):
                scope.values[name.name] = self.value(value, scope)
            case s.AssignNode(name=name, value=value):
                holder = scope.holder(name.name) or scope
                holder.values[name.name] = self.value(value, scope)
            case s.IfNode():
                if o.holds(self.value(node.condition, scope)):
                    self.body(node.then, scope)
                elif node.otherwise is not None:
                    self.body(node.otherwise, scope)
            case s.ForNode():
                self._for(node, scope)
            case s.ReturnNode(value=value):
                raise _Returned(self.value(value, scope))
            case _:
                self.other(node, scope)

    def _for(self, node: s.ForNode, scope: Scope) -> None:
        for item in self.items(node.items, scope):
            inner = Scope(scope)
            inner.values[node.variable.name] = item
            self.step(node)
            self.body(node.body, inner)

    def other(self, node: s.StatementNode, scope: Scope) -> None:
        """Statements that few scripts have."""
        match node:
            case s.DoNode(call=call, target=None, where=None, options=()):
                self.value(call, scope)
            case s.ExecNode(command=command):
                if self.outside.execute is None:
                    raise self.fault(e.EXEC_NOT_ALLOWED)
                code = self.outside.execute(command)
                if code:
                    raise self.fault(e.COMMAND_FAILED, code=code)
            case s.FailNode(message=message):
                said = v.text(self.value(message, scope))
                self.span = node.span
                raise self.fault(e.FAILED, message=said)
            case _:
                asked = node.value if isinstance(node, s.LetNode) else node
                what = type(asked).__name__.removesuffix("Node").lower()
                raise self.fault(e.NOT_IN_SCRIPT, what=what)
