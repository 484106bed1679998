"""The statements of a test that need the application: rows, calls, workflows, stubs, time.

Conditions on rows are computed here, row by row, with the meaning that expressions have in a
script; the queries of a served program compute alike (decision 29).
"""

from collections.abc import Sequence
from decimal import Decimal

from backstay.core.errors import Fault
from backstay.lang import syntax as s
from backstay.lang.library import values as v
from backstay.lang.library.values import Value
from backstay.lang.script import errors as e
from backstay.lang.script.application import Application, Row
from backstay.lang.script.interpreter import Script
from backstay.lang.script.machine import Scope

_MOST_ROWS = 5
"""Rows that a failed `expect` shows."""
Sides = Sequence[tuple[str, Value]]


class Unready(Exception):  # noqa: N818 - a jump out of a test
    """The application of this program does not start; nobody can tell whether the test holds."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Unmet(Exception):  # noqa: N818 - a jump out of a test
    """What the test says is not so. `sides` are texts with the values they have."""

    def __init__(self, message: str, sides: Sides) -> None:
        super().__init__(message)
        self.message = message
        self.sides = sides


class _RowScope(Scope):
    """The fields of a row by their names, for a condition on it."""

    __slots__ = ()


class Acting(Script):
    """A script with an application beside it, started by the first statement that needs one."""

    _application: Application | None = None

    def close(self) -> None:
        """End the application, if there is one."""
        if self._application is not None:
            self._application.close()

    def other(self, node: s.StatementNode, scope: Scope) -> None:
        if self.outside.application is None:
            super().other(node, scope)
            return
        try:
            self._act(node, scope)
        except Fault as fault:
            if fault.entry in e.ENTRIES:
                raise
            self.span = node.span
            raise self.cannot(fault.message) from fault

    def _act(self, node: s.StatementNode, scope: Scope) -> None:
        match node:
            case s.LetNode(name=name, value=value):
                scope.values[name.name] = self._made(value, scope)
            case s.GivenNode() | s.CreateNode() | s.VisitNode() | s.RunNode() | s.StartNode():
                self._made(node, scope)
            case s.StubNode():
                self._stub(node, scope)
            case s.UpdateNode() | s.DeleteNode():
                self._rewrite(node, scope)
            case s.EmitNode(event=event, values=values):
                self._app.emit(event.name, self._entries(values, scope))
                self._happen(node)
            case s.ExpectNode():
                self._expect(node, scope)
            case _:
                super().other(node, scope)

    @property
    def _app(self) -> Application:
        if self._application is None:
            if self.outside.application is None:
                raise self.fault(e.NOT_IN_SCRIPT, what="this")
            try:
                self._application = self.outside.application()
            except Fault as fault:
                raise Unready(fault) from fault
        return self._application

    def _made(self, node: s.Node, scope: Scope) -> Value:
        match node:
            case (
                s.GivenNode(entity=entity, values=values)
                | s.CreateNode(entity=entity, values=values)
            ):
                return self._app.given(entity.name, self._entries(values, scope))
            case s.VisitNode():
                return self._visit(node, scope)
            case s.RunNode(workflow=workflow, input=given):
                started = self._app.start(workflow.name, self._entries(given, scope))
                self._happen(node)
                return dict(self._app.execution(started))
            case s.StartNode(workflow=workflow, input=given):
                started = self._app.start(workflow.name, self._entries(given, scope))
                return {"id": started}
        raise self.fault(e.NOT_IN_SCRIPT, what=type(node).__name__.removesuffix("Node").lower())

    def _entries(self, entries: Sequence[s.Entry], scope: Scope) -> dict[str, Value]:
        return {each.name.name: self.value(each.value, scope) for each in entries}

    def _happen(self, node: s.Node) -> None:
        self._app.settle()
        self._all_stubbed(node)

    def _all_stubbed(self, node: s.Node) -> None:
        self.span = node.span
        called = self._app.unstubbed()
        if called:
            raise self.cannot(f"{called} was called, and no stub says what it answers")

    def advance(self, node: s.AdvanceNode, seconds: float) -> None:
        """Let time pass, for the application as well once there is one."""
        if self._application is not None:
            self._application.advance(seconds)
            self._all_stubbed(node)
        elif self.outside.advance is not None:
            self.outside.advance(seconds)

    # --- calls and stubs ---

    def _visit(self, node: s.VisitNode, scope: Scope) -> Value:
        path = v.text(self.value(node.path, scope))
        body = None if node.body is None else self.value(node.body, scope)
        user = None if node.user is None else self.value(node.user, scope)
        method = node.method.name
        answer = self._app.visit(method, path, body, user if isinstance(user, dict) else None)
        if answer.status >= 400:
            # Shown when the test fails: why the answer is what it is.
            self.write(f"{method} {path} answered {answer.status}: {_reason(answer.body)}\n")
        self._happen(node)
        return {"status": answer.status, "body": answer.body}

    def _stub(self, node: s.StubNode, scope: Scope) -> None:
        answer = None if node.returns is None else self.value(node.returns, scope)
        fails = 0 if node.fails is None else int(node.fails.value or 0)
        self._app.stub(f"{node.integration.name}.{node.operation.name}", answer, fails)

    # --- rows ---

    def _rewrite(self, node: s.UpdateNode | s.DeleteNode, scope: Scope) -> None:
        found = self._found(node.entity.name, node.where, scope)
        if isinstance(node, s.DeleteNode):
            for row, _ in found:
                self._app.remove(row)
            return
        for row, inner in found:
            self._app.change(row, self._entries(node.values, inner))
        if not found and node.otherwise is not None:
            super().other(node.otherwise, scope)

    def _found(self, entity: str, where: s.Expr | None, scope: Scope) -> list[tuple[Row, Scope]]:
        """The rows of which a condition holds, each with the scope in which its fields are."""
        rows = self._app.rows(entity)
        self.spend(len(rows))
        pairs = [(row, self._of(row, scope)) for row in rows]
        return [pair for pair in pairs if where is None or self.truth(where, pair[1])]

    @staticmethod
    def _of(row: Row, scope: Scope) -> Scope:
        inner = _RowScope(scope)
        inner.values = dict(row)
        return inner

    def aggregate(self, name: str, of: s.Expr, scope: Scope) -> Value:
        if self.outside.application is None:
            return super().aggregate(name, of, scope)
        target, where = (of.target, of.condition) if isinstance(of, s.Where) else (of, None)
        field = target.field.name if isinstance(target, s.Dot) else ""
        named = target.of if isinstance(target, s.Dot) else target
        if not isinstance(named, s.NameExpr):
            return super().aggregate(name, of, scope)
        found = [row for row, _ in self._found(named.name, where, scope)]
        return len(found) if name == "count" else self._total(name, [row[field] for row in found])

    def _total(self, name: str, values: list[Value]) -> Value:
        """As SQL has it: nulls are left out; of nothing the sum is 0 and everything else null."""
        known = [value for value in values if value is not None]
        if not known:
            return 0 if name == "sum" else None
        total: Value = known[0]
        for value in known[1:]:
            if name in ("min", "max"):
                smaller = bool(self.binary("<", value, total))
                total = value if smaller is (name == "min") else total
            else:
                total = self.binary("+", total, value)
        if name != "avg":
            return total
        return self.binary("/", total if isinstance(total, Decimal) else _float(total), len(known))

    def member(self, node: s.Dot, scope: Scope) -> Value:
        value = self._head(node.of, scope)
        field = node.field.name
        if self._application is None:
            return super().member(node, scope)
        entity = getattr(value, "entity", None)
        if isinstance(value, str) and entity is not None:
            value = self._app.row(entity, value)
        if isinstance(value, Row) and field not in value:
            below = self._app.below(value, field)
            if below is not None:
                return list(below)
        if isinstance(value, list):
            return [self._field(each, field) for each in value]
        return self._field(value, field)

    def _head(self, node: s.Expr, scope: Scope) -> Value:
        """The head of a path is a variable first; a bare name in a condition is a field first."""
        if not isinstance(node, s.NameExpr):
            return self.value(node, scope)
        at: Scope | None = scope
        while isinstance(at, _RowScope):
            at = at.parent
        holder = at.holder(node.name) if at is not None else None
        return self.value(node, holder or scope)

    def _field(self, value: Value, field: str) -> Value:
        if value is None:
            return None
        if isinstance(value, dict) and field in value:
            return value[field]
        raise self.cannot(f"{v.kind(value)} has no '{field}'")

    def binary(self, op: str, one: Value, two: Value) -> Value:
        """A row beside something else is its key."""
        return super().binary(op, _key(one), _key(two))

    # --- expect ---

    def _expect(self, node: s.ExpectNode, scope: Scope) -> None:
        entity = node.entity.name
        found = self._found(entity, node.where, scope)
        if not found:
            there = self._app.rows(entity)
            self.span = node.span
            sides: Sides = [(f"{entity} {at}", row) for at, row in enumerate(there[:_MOST_ROWS], 1)]
            said = f"expect {entity} where {self.written(node.where)}"
            raise self.unmet(said, sides or [(f"count({entity})", 0)])
        for row, _ in found:
            for entry in node.values:
                self._same(entity, row, entry, scope)

    def _same(self, entity: str, row: Row, entry: s.Entry, scope: Scope) -> None:
        name, wanted = entry.name.name, self.value(entry.value, scope)
        if bool(self.binary("==", row[name], wanted)):
            return
        self.span = entry.span
        text = self.written(entry.value)
        sides = [(f"{entity}.{name}", row[name]), (text, wanted)]
        raise self.unmet(f"{entity}.{name} == {text}", sides)

    def unmet(self, message: str, sides: Sides) -> Unmet:
        """What ends the test; its values are paid for, as they are written down."""
        self.walk(*(value for _, value in sides))
        return Unmet(message, sides)

    def written(self, node: s.Node) -> str:
        """A node as it stands in the source, on one line."""
        raise NotImplementedError


def _key(value: Value) -> Value:
    return value[value.key] if isinstance(value, Row) else value


def _float(value: Value) -> Value:
    return float(value) if isinstance(value, int) else value


def _reason(body: Value) -> str:
    """What a refusal says: the detail of problem JSON, or whatever the body is."""
    detail = body.get("detail") if isinstance(body, dict) else None
    return v.text(body if detail is None else detail)
