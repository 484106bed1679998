"""Tests: the statements that stand in them alone, against what the program declares."""

import re
from collections.abc import Sequence

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.expressions import condition, declare, lower, record, typed
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.types import DURATION, INT, STRING, UNKNOWN, UUID
from backstay.lang.check.world import Checker
from backstay.lang.diagnostics import Related, Span

ANSWER = p.RecordType((p.Field("status", INT, True), p.Field("body", UNKNOWN, True)))
"""What `let NAME = call …` gives."""
EXECUTION = p.RecordType(
    (p.Field("id", UUID, True), p.Field("status", STRING, True), p.Field("error", STRING))
)
"""What `let NAME = run …` gives."""
Routes = Sequence[tuple[str, str]]
_STATUS = range(400, 600)
_HOLE = re.compile(r"\{[^{}]*\}")


class Tests:
    """Checks every test of a program; names are theirs alone."""

    def __init__(self, k: Checker, routes: Routes, globals_: Scope) -> None:
        self.k = k
        self.routes = routes
        self.globals = globals_
        self.names: dict[str, Span] = {}

    def one(self, node: s.TestNode) -> p.Test:
        """The checked test. What it uses is not held against a server."""
        k = self.k
        span = k.reports.at(node.name.span)
        name = str(node.name.value)
        first = self.names.setdefault(name, span)
        if first is not span:
            place = f"{first.file}:{first.line}:{first.column}"
            related = (Related(first, "first declared here"),)
            k.error(
                e.DUPLICATE_NAMED,
                node.name.span,
                related=related,
                what="test",
                name=name,
                place=place,
            )
        scope = Scope(self.globals)
        scope.script = True
        k.quiet = True
        try:
            body = _TestBody(k, self.routes).body(node.body, scope)
        finally:
            k.quiet = False
        return p.Test(name, p.Place(span.file, span.line, span.column), body)


class _TestBody(Bodies):
    def __init__(self, k: Checker, routes: Routes) -> None:
        super().__init__(k, mode="script")
        self.routes = routes

    def _condition(self, node: s.Expr, scope: Scope) -> p.Expr:
        """Tests are newer than scripts: a condition is true or false."""
        return condition(self._k, node, scope, "if")

    def _statement(self, node: s.StatementNode, scope: Scope) -> p.Statement | None:
        k = self._k
        match node:
            case s.AssertNode():
                test = condition(k, node.condition, scope, "'assert'")
                if node.message is None:
                    return p.Assert(test)
                return p.Assert(test, typed(k, node.message, scope, STRING, "the message"))
            case s.AdvanceNode(period=period):
                return p.Advance(typed(k, period, scope, DURATION, "'advance'"))
            case s.LetNode(name=name, value=s.GivenNode() | s.RunNode() | s.VisitNode() as value):
                made, kind = self._named(value, scope, name.name)
                declare(k, scope, name, kind)
                return made
            case s.GivenNode() | s.RunNode() | s.VisitNode():
                return self._named(node, scope, "")[0]
            case s.StubNode():
                return self._stub(node, scope)
            case s.ExpectNode():
                return self._expect(node, scope)
            case s.ExecNode():
                what, fix = "exec in a test", "a test touches nothing of the machine: leave it out"
                k.error(e.MISPLACED, node.span, what=what, fix=fix)
                return None
        return super()._statement(node, scope)

    def _named(
        self, node: s.GivenNode | s.RunNode | s.VisitNode, scope: Scope, into: str
    ) -> tuple[p.Statement | None, p.Type]:
        match node:
            case s.GivenNode(span=span, entity=entity, values=values):
                row = self.writes.create(s.CreateNode(span, entity, values), scope, into)
                if row is None:
                    return None, UNKNOWN
                return p.Given(row.entity, row.values, into), p.RowType(row.entity)
            case s.RunNode(span=span, workflow=workflow, input=input_):
                started = self.writes.start(s.StartNode(span, workflow, input_), scope, into)
                if started is None:
                    return None, EXECUTION
                return p.RunWorkflow(started.workflow, started.input, into), EXECUTION
            case s.VisitNode():
                return self._visit(node, scope, into), ANSWER

    def _visit(self, node: s.VisitNode, scope: Scope, into: str) -> p.Visit:
        k = self._k
        path = typed(k, node.path, scope, STRING, "the path")
        method = node.method.name
        written = _template(node.path)
        known = [each for verb, each in self.routes if verb == method]
        if not k.world.incomplete and not any(_meets(each, written) for each in known):
            said = ", ".join(f"{verb} {each}" for verb, each in self.routes) or "none"
            name = f"{method} {written}"
            k.error(e.UNKNOWN_ROUTE, node.path.span, name=name, known=said)
        body = record(k, node.body, scope) if node.body else None
        user = record(k, node.user, scope) if node.user else None
        return p.Visit(method, path, body, user, into)

    def _stub(self, node: s.StubNode, scope: Scope) -> p.Stub:
        k = self._k
        info = k.world.integrations.get(node.integration.name)
        if info is None and not k.world.incomplete:
            k.unknown(e.UNKNOWN_INTEGRATION, node.integration, k.world.integrations)
        elif info and node.operation.name not in info.operations and not info.broken:
            known = info.operations
            k.unknown(e.UNKNOWN_OPERATION, node.operation, known, integration=info.name)
        returns = lower(k, node.returns, scope) if node.returns else None
        fails = int(node.fails.value or 0) if node.fails else 0
        if node.fails and fails not in _STATUS:
            fix = "an operation fails with a status from 400 to 599"
            k.error(e.OUT_OF_RANGE, node.fails.span, value=str(fails), what="fails", fix=fix)
        return p.Stub(node.integration.name, node.operation.name, returns, fails)

    def _expect(self, node: s.ExpectNode, scope: Scope) -> p.Expect | None:
        k = self._k
        info = k.entity(node.entity)
        if info is None:
            self.writes.loose(node.values, scope)
            return None
        test = condition(k, node.where, Scope(scope, row=info), "where")
        return p.Expect(
            info.name, test, tuple(self.writes.values(node.values, scope, scope, info, ""))
        )


def _template(path: s.Expr) -> str:
    """The path with `{}` for each hole, without its query."""
    match path:
        case s.Literal_(value=str(text)):
            written = text
        case s.Text(parts=parts):
            written = "".join(part if isinstance(part, str) else "{}" for part in parts)
        case _:
            return "{}"
    return written.partition("?")[0]


def _meets(route: str, written: str) -> bool:
    """Whether a path of the program can be the one that is called."""
    ours, theirs = _HOLE.sub("{}", route).split("/"), written.split("/")
    return len(ours) == len(theirs) and all(
        "{}" in (one, other) or one == other for one, other in zip(ours, theirs, strict=True)
    )
