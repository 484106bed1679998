"""Runs a script, step by step, within bounds.

Pure: what is printed goes to a callback, commands go to a runner that is handed in, and functions
of the world outside (`now`) as well. The program has been checked before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from backstay.core.errors import ErrorEntry, Fault, Plain
from backstay.lang import syntax as s
from backstay.lang.script import errors as e
from backstay.lang.script import values as v
from backstay.lang.script.values import Value

MAX_CALLS = 40
"""Functions of the script that call each other."""


class Limits(msgspec.Struct, frozen=True):
    """`steps` are statements and expressions; `memory` counts characters and items made."""

    steps: int = 1_000_000
    memory: int = 16_000_000


class Outside(msgspec.Struct, frozen=True):
    """`execute` runs a command and gives its exit code; None means that none may run.
    `functions` are those that need the world, by name, and `env` what `env()` reads."""

    execute: Callable[[str], int] | None = None
    functions: Mapping[str, Callable[[], Value]] = {}
    env: Mapping[str, str] = {}


class _Returned(Exception):  # noqa: N818 - a jump out of a function
    def __init__(self, value: Value) -> None:
        self.value = value


class _Scope:
    __slots__ = ("parent", "values")

    def __init__(self, parent: "_Scope | None" = None) -> None:
        self.parent = parent
        self.values: dict[str, Value] = {}

    def holder(self, name: str) -> "_Scope | None":
        at: _Scope | None = self
        while at is not None and name not in at.values:
            at = at.parent
        return at


def run(
    files: Sequence[s.File],
    write: Callable[[str], object],
    outside: Outside | None = None,
    limits: Limits | None = None,
) -> int:
    """Run the statements at the top level of all files, in order; returns the steps taken.

    Raises the faults of `script.errors`, with the place of the statement.
    """
    script = _Script(write, outside or Outside(), limits or Limits())
    try:
        script.run(files)
    except RecursionError:
        raise script.fault(e.CALLS_TOO_DEEP, limit=MAX_CALLS) from None
    return script.steps


class _Script:
    def __init__(self, write: Callable[[str], object], outside: Outside, limits: Limits) -> None:
        self.write = write
        self.outside = outside
        self.limits = limits
        self.steps = self.made = self.calls = 0
        self.functions: dict[str, tuple[str, int, s.FunctionNode]] = {}
        self.top = _Scope()
        self.file, self.base = "", 0
        self.span: s.Range | None = None

    def run(self, files: Sequence[s.File]) -> None:
        for file in files:
            for each in file.declarations:
                if isinstance(each.statement, s.FunctionNode):
                    node = each.statement
                    self.functions[node.name.name] = (file.name, each.line, node)
        for file in files:
            for each in file.declarations:
                statement = each.statement
                if statement is None or isinstance(statement, s.HandlerNode | s.FunctionNode):
                    continue
                self.file, self.base = file.name, each.line
                self.statement(statement, self.top)

    # --- bounds ---

    def fault(self, entry: ErrorEntry, **values: Plain) -> Fault:
        line = self.base + (self.span.line if self.span else 0)
        column = self.span.column if self.span else 1
        return Fault(entry, place=f"{self.file}:{line}:{column}", file=self.file, **values)

    def step(self, node: s.Node) -> None:
        self.span = node.span
        self.steps += 1
        if self.steps > self.limits.steps:
            raise self.fault(e.STEPS_USED_UP, limit=self.limits.steps)

    def kept(self, value: Value) -> Value:
        """Counts what a value takes, with all that is inside: a list of twice the same list is
        twice as long to print and to compare."""
        if isinstance(value, str | list | dict):
            self.made += v.size(value, self.limits.memory - self.made)
            if self.made > self.limits.memory:
                raise self.fault(e.MEMORY_USED_UP, limit=self.limits.memory)
        return value

    # --- statements ---

    def body(self, node: s.Body, scope: _Scope) -> None:
        inner = _Scope(scope)
        for each in node.statements:
            self.statement(each, inner)

    def statement(self, node: s.StatementNode, scope: _Scope) -> None:
        self.step(node)
        match node:
            case s.VarNode(name=name, value=value):
                scope.values[name.name] = self.value(value, scope)
            case s.LetNode(name=name, value=value) if not isinstance(
                value, s.CreateNode | s.StartNode
            ):
                scope.values[name.name] = self.value(value, scope)
            case s.AssignNode(name=name, value=value):
                holder = scope.holder(name.name) or scope
                holder.values[name.name] = self.value(value, scope)
            case s.IfNode():
                if self.truth(node.condition, scope):
                    self.body(node.then, scope)
                elif node.otherwise is not None:
                    self.body(node.otherwise, scope)
            case s.ForNode():
                for item in self.items(node.items, scope):
                    inner = _Scope(scope)
                    inner.values[node.variable.name] = item
                    self.step(node)
                    self.body(node.body, inner)
            case s.ReturnNode(value=value):
                raise _Returned(self.value(value, scope))
            case _:
                self.other(node, scope)

    def other(self, node: s.StatementNode, scope: _Scope) -> None:
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
                what = type(node).__name__.removesuffix("Node").lower()
                raise self.fault(e.NOT_IN_SCRIPT, what=what)

    # --- expressions ---

    def truth(self, node: s.Expr, scope: _Scope) -> bool:
        value = self.value(node, scope)
        if not isinstance(value, bool):
            raise self.cannot(f"a condition is true or false, not {v.kind(value)}")
        return value

    def items(self, node: s.Expr, scope: _Scope) -> Iterator[Value]:
        value = self.value(node, scope)
        if not isinstance(value, list):
            raise self.cannot(f"cannot iterate over non-array type '{v.kind(value)}'")
        return iter(value)

    def cannot(self, what: str) -> Fault:
        return self.fault(e.CANNOT_RUN, what=what)

    def value(self, node: s.Expr, scope: _Scope) -> Value:
        self.step(node)
        match node:
            case s.Literal_():
                return v.literal(node)
            case s.NameExpr(name=name):
                holder = scope.holder(name)
                if holder is None:
                    raise self.cannot(f"'{name}' has no value yet")
                return holder.values[name]
            case s.Text(parts=parts):
                texts = [
                    part if isinstance(part, str) else v.text(self.value(part, scope))
                    for part in parts
                ]
                return self.kept("".join(texts))
            case s.ListExpr(items=items):
                return self.kept([self.value(item, scope) for item in items])
            case s.RecordExpr(fields=fields):
                return self.kept({f.name.name: self.value(f.value, scope) for f in fields})
            case s.Each(variable=variable, items=items, value=value):
                return self.kept(list(self.each(variable.name, items, value, scope)))
            case s.CallExpr():
                return self.call(node, scope)
        return self.computed(node, scope)

    def each(self, name: str, items: s.Expr, value: s.Expr, scope: _Scope) -> Iterator[Value]:
        for item in self.items(items, scope):
            inner = _Scope(scope)
            inner.values[name] = item
            yield self.value(value, inner)

    def computed(self, node: s.Expr, scope: _Scope) -> Value:
        match node:
            case s.BinaryExpr(op="and" | "or" as op, left=left, right=right):
                first = self.truth(left, scope)
                return first if first is (op == "or") else self.truth(right, scope)
            case s.BinaryExpr(op="??", left=left, right=right):
                value = self.value(left, scope)
                return self.value(right, scope) if value is None else value
            case s.Choice(condition=condition, then=then, otherwise=otherwise):
                chosen = then if self.truth(condition, scope) else otherwise
                return self.value(chosen, scope)
            case s.UnaryExpr(op="not", operand=operand):
                return not self.truth(operand, scope)
        return self.plain(node, scope)

    def plain(self, node: s.Expr, scope: _Scope) -> Value:
        """What is computed from finished values."""
        try:
            match node:
                case s.BinaryExpr(op=op, left=left, right=right):
                    one, two = self.value(left, scope), self.value(right, scope)
                    self.span = node.span
                    return self.kept(v.binary(op, one, two))
                case s.UnaryExpr(operand=operand):
                    return v.negative(self.value(operand, scope))
                case s.Dot(of=of, field=field):
                    return v.member(self.value(of, scope), field.name)
                case s.Item(of=of, index=index):
                    return v.item(self.value(of, scope), self.value(index, scope))
        except v.Unfit as bad:
            raise self.cannot(str(bad)) from bad
        raise self.fault(e.NOT_IN_SCRIPT, what=type(node).__name__.lower())

    # --- calls ---

    def call(self, node: s.CallExpr, scope: _Scope) -> Value:
        name = node.callee.name if isinstance(node.callee, s.NameExpr) else ""
        if name == "env":
            return self.env(node)
        if name == "sum" and len(node.args) == 1 and isinstance(node.args[0], s.Each):
            over = node.args[0]
            found = self.each(over.variable.name, over.items, over.value, scope)
            return self.library("sum", [list(found)])
        args = [self.value(arg, scope) for arg in node.args]
        self.span = node.span
        if name in self.functions:
            return self.own(name, args)
        if name == "print":
            self.write(f"{v.text(args[0])}\n" if args else "\n")
            return None
        if name in self.outside.functions:
            return self.outside.functions[name]()
        return self.library(name, args)

    def library(self, name: str, args: list[Value]) -> Value:
        function = v.LIBRARY.get(name)
        if function is None:
            raise self.fault(e.NOT_IN_SCRIPT, what=name or "this call")
        try:
            return self.kept(function(*args))
        except v.Unfit as bad:
            raise self.cannot(str(bad)) from bad

    def env(self, node: s.CallExpr) -> Value:
        names = [
            str(arg.value) if isinstance(arg, s.Literal_) else getattr(arg, "name", "")
            for arg in node.args
        ]
        found = self.outside.env.get(names[0], names[1] if len(names) > 1 else None)
        if found is None:
            raise self.cannot(f"the environment has no {names[0]}")
        return found

    def own(self, name: str, args: list[Value]) -> Value:
        """A function of the script; it sees the variables of the top level."""
        file, base, node = self.functions[name]
        if self.calls >= MAX_CALLS:
            raise self.fault(e.CALLS_TOO_DEEP, limit=MAX_CALLS)
        before = self.file, self.base, self.span
        scope = _Scope(self.top)
        for param, arg in zip(node.params, args, strict=False):
            scope.values[param.name.name] = arg
        self.calls += 1
        self.file, self.base = file, base
        try:
            self.body(node.body, scope)
        except _Returned as returned:
            return returned.value
        finally:
            self.calls -= 1
            self.file, self.base, self.span = before
        return None
