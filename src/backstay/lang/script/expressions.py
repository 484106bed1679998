"""Expressions of a script, computed on the tree."""

from collections.abc import Callable, Iterator

from backstay.lang import syntax as s
from backstay.lang.library import LIBRARY, Function
from backstay.lang.library import call as call_library
from backstay.lang.library import operators as o
from backstay.lang.library import values as v
from backstay.lang.library.values import Value
from backstay.lang.script import errors as e
from backstay.lang.script.machine import MAX_CALLS, Machine, Scope

Argument = Value | Callable[[Value], Value]


class Expressions(Machine):
    """Computes expressions; what a function of the script does is left to `perform`."""

    functions: dict[str, tuple[str, int, s.FunctionNode]]
    entities: set[str]
    variables: set[str]
    """Those of the top level; a function may be called before one of them is set."""
    top: Scope

    def perform(self, body: s.Body, scope: Scope) -> Value:
        """Run the body of a function; what it returns."""
        raise NotImplementedError

    def write(self, text: str) -> None:
        """What `print` prints."""
        raise NotImplementedError

    def value(self, node: s.Expr, scope: Scope) -> Value:
        """Raises the faults of `script.errors`."""
        self.step(node)
        try:
            return self._value(node, scope)
        except v.Unfit as bad:
            raise self.cannot(str(bad)) from bad

    def truth(self, node: s.Expr, scope: Scope) -> bool:
        """The value of a condition."""
        value = self.value(node, scope)
        try:
            return o.truth(value)
        except v.Unfit as bad:
            raise self.cannot(str(bad)) from bad

    def items(self, node: s.Expr, scope: Scope) -> Iterator[Value]:
        """What a loop walks over; there is nothing in null."""
        value = self.value(node, scope)
        try:
            return iter([] if value is None else v.a_list(value))
        except v.Unfit as bad:
            raise self.cannot(str(bad)) from bad

    def _value(self, node: s.Expr, scope: Scope) -> Value:
        match node:
            case s.Literal_(literal=shape, value=value):
                return v.literal(shape, value)
            case s.NameExpr(name=name):
                holder = scope.holder(name)
                if holder is None and name in self.entities:
                    raise self.fault(e.NOT_IN_SCRIPT, what=name)
                if holder is None:
                    raise self.cannot(f"'{name}' has no value yet")
                return holder.values[name]
            case s.Text(parts=parts):
                return self._text(parts, scope)
            case s.ListExpr(items=items):
                return self.kept([self.value(item, scope) for item in items])
            case s.RecordExpr(fields=fields):
                return self.kept({f.name.name: self.value(f.value, scope) for f in fields})
            case s.Each(variable=variable, items=items, value=value):
                return self.kept(list(self._each(variable.name, items, value, scope)))
            case s.CallExpr():
                return self._call(node, scope)
        return self._computed(node, scope)

    def _text(self, parts: "tuple[str | s.Expr, ...]", scope: Scope) -> Value:
        texts: list[str] = []
        for part in parts:
            if isinstance(part, s.NameExpr) and self._is_plain(part.name, scope):
                part = f"{{{part.name}}}"  # noqa: PLW2901 - braces around no name are text
            elif not isinstance(part, str):
                value = self.value(part, scope)
                self.walk(value)
                part = v.hole(value)  # noqa: PLW2901 - a hole becomes its text
            texts.append(part)
        v.fits(sum(map(len, texts)))
        return self.kept("".join(texts))

    def _is_plain(self, name: str, scope: Scope) -> bool:
        """As the check has it: at the top level the variables before count, in a function all."""
        later = self.calls > 0 and name in self.variables
        return scope.holder(name) is None and not later

    def _each(self, name: str, items: s.Expr, value: s.Expr, scope: Scope) -> Iterator[Value]:
        for item in self.items(items, scope):
            yield self.value(value, self._with(scope, name, item))

    @staticmethod
    def _with(scope: Scope, name: str, value: Value) -> Scope:
        inner = Scope(scope)
        inner.values[name] = value
        return inner

    def _computed(self, node: s.Expr, scope: Scope) -> Value:
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
            case s.BinaryExpr(op=op, left=left, right=right):
                one, two = self.value(left, scope), self.value(right, scope)
                self.span = node.span
                return self.binary(op, one, two)
            case s.UnaryExpr(operand=operand):
                return o.negative(self.value(operand, scope))
            case s.Dot():
                return self.member(node, scope)
            case s.Item(of=of, index=index):
                return o.item(self.value(of, scope), self.value(index, scope))
        raise self.fault(e.NOT_IN_SCRIPT, what=type(node).__name__.lower())

    def member(self, node: s.Dot, scope: Scope) -> Value:
        """`of.field`."""
        return o.member(self.value(node.of, scope), node.field.name)

    def aggregate(self, name: str, of: s.Expr, scope: Scope) -> Value:  # noqa: ARG002 - there are no rows here
        """`count(Order where …)`, `sum(Order.total)`: a script has no rows."""
        raise self.fault(e.NOT_IN_SCRIPT, what=name or "this call")

    def binary(self, op: str, one: Value, two: Value) -> Value:
        """What the operator makes of two values."""
        if isinstance(two, list) or (isinstance(one, str) and isinstance(two, str)):
            self.walk(one, two)
        return self.kept(o.binary(op, one, two))

    # --- calls ---

    def _call(self, node: s.CallExpr, scope: Scope) -> Value:
        name = node.callee.name if isinstance(node.callee, s.NameExpr) else ""
        if name in self.functions:
            args = [self.value(arg, scope) for arg in node.args]
            self.span = node.span
            return self._own(name, args)
        if name == "env":
            return self._env(node)
        if name == "print":
            return self._print(node, scope)
        if len(node.args) == 1 and self._of_rows(node.args[0], scope):
            return self.aggregate(name, node.args[0], scope)
        known = LIBRARY.get(name)
        if known is None:
            raise self.fault(e.NOT_IN_SCRIPT, what=name or "this call")
        return self._library(known, node, scope)

    def _of_rows(self, node: s.Expr, scope: Scope) -> bool:
        """Whether an argument is an entity, one of its fields, or either with `where`."""
        if isinstance(node, s.Where):
            return True
        named = node.of if isinstance(node, s.Dot) else node
        return (
            isinstance(named, s.NameExpr)
            and named.name in self.entities
            and scope.holder(named.name) is None
        )

    def _print(self, node: s.CallExpr, scope: Scope) -> Value:
        values = [self.value(arg, scope) for arg in node.args]
        self.walk(*values)
        self.write(f"{v.text(values[0])}\n" if values else "\n")
        return None

    def _library(self, known: Function, node: s.CallExpr, scope: Scope) -> Value:
        args = [self._argument(arg, node, scope) for arg in node.args]
        if known.walks:
            self.walk(*args)
        if known.world:
            made = self.outside.functions.get(known.name)
            if made is None:
                raise self.fault(e.NOT_IN_SCRIPT, what=known.name)
            return made()
        value = call_library(known, args)
        # A lambda moved the place on; what goes wrong now is about the call.
        self.span = node.span
        return self.kept(value)

    def _argument(self, node: s.Expr, call: s.CallExpr, scope: Scope) -> Argument:
        if not isinstance(node, s.Lambda):
            made = self.value(node, scope)
            self.span = call.span
            return made
        name, body = node.variable.name, node.value
        return lambda item: self.value(body, self._with(scope, name, item))

    def _env(self, node: s.CallExpr) -> Value:
        names = [
            str(arg.value) if isinstance(arg, s.Literal_) else getattr(arg, "name", "")
            for arg in node.args
        ]
        found = self.outside.env.get(names[0], names[1] if len(names) > 1 else None)
        if found is None:
            raise self.cannot(f"the environment has no {names[0]}")
        return found

    def _own(self, name: str, args: list[Value]) -> Value:
        """A function of the script; it sees the variables of the top level."""
        file, base, node = self.functions[name]
        if self.calls >= MAX_CALLS:
            raise self.fault(e.CALLS_TOO_DEEP, limit=MAX_CALLS)
        before = self.file, self.base, self.span
        scope = Scope(self.top)
        for param, arg in zip(node.params, args, strict=False):
            scope.values[param.name.name] = arg
        self.calls += 1
        self.file, self.base = file, base
        try:
            return self.perform(node.body, scope)
        finally:
            self.calls -= 1
            self.file, self.base, self.span = before
