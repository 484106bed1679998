"""Runs the tests of a program, each with limits, variables and a clock of its own.

What needs the running application (`given`, `call`, `run`, `stub`, `expect`, rows) needs one from
outside. Where none is given, or it does not start, such a test is not run, and is told as such:
never as passed.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from backstay.core.errors import Fault
from backstay.lang import syntax as s
from backstay.lang.library import values as v
from backstay.lang.script import errors as e
from backstay.lang.script.acting import Acting, Sides, Unmet, Unready
from backstay.lang.script.interpreter import with_bounds
from backstay.lang.script.machine import Limits, Outside, Scope

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in")
_MOST_SHOWN = 300
"""Characters of a value, and of what a test printed."""


class Side(msgspec.Struct, frozen=True):
    """A part of a condition that did not hold, as written, and its value."""

    text: str
    value: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of a test. `place` is `file:line:column` of what failed, or of the test."""

    name: str
    file: str
    line: int
    outcome: Literal["passed", "failed", "not run"]
    place: str
    code: str = ""
    message: str = ""
    sides: tuple[Side, ...] = ()
    output: str = ""
    steps: int = 0


def run_tests(
    files: Sequence[s.File],
    outside: Callable[[], Outside],
    limits: Limits | None = None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Outcome]:
    """The outcomes in the order of files and lines. `outside` makes the world of one test;
    `wanted` chooses tests by name."""
    for file in files:
        for each in file.declarations:
            node = each.statement
            if isinstance(node, s.TestNode) and wanted(str(node.name.value)):
                yield _Run(files, outside(), limits or Limits()).test(file, each, node)


class _Run(Acting):
    """One test, with the variables of the top level as they are declared."""

    def __init__(self, files: Sequence[s.File], outside: Outside, limits: Limits) -> None:
        self.said: list[str] = []
        super().__init__(files, self.said.append, outside, limits)
        self.texts = {file.name: file.text.split("\n") for file in files}

    def test(self, file: s.File, declaration: s.Declaration, node: s.TestNode) -> Outcome:
        result: Literal["passed", "failed", "not run"] = "passed"
        code = message = ""
        sides: tuple[Side, ...] = ()
        place = f"{file.name}:{declaration.line}:{declaration.keyword.span.column}"
        try:
            self.turn_to(file, declaration)
            with_bounds(self, lambda: self._all(file, declaration, node))
        except Unmet as bad:
            result, place, message = "failed", self.place(), bad.message
            sides = tuple(self._side(text, value) for text, value in bad.sides)
            code = e.ASSERTION.code
        except Unready as bad:
            result, code = "not run", bad.fault.entry.code
            message = f"{bad.fault.message}; {bad.fault.cause}"
        except Fault as fault:
            needs = fault.entry is e.NOT_IN_SCRIPT
            result = "not run" if needs else "failed"
            place = str(fault.values.get("place", self.place()))
            code, message = fault.entry.code, fault.message.removeprefix(f"{place}: ")
            if needs:
                message = f"needs the app runtime: {fault.values['what']}"
        finally:
            self.close()
        return Outcome(
            name=str(node.name.value),
            file=file.name,
            line=declaration.line,
            outcome=result,
            place=place,
            code=code,
            message=message,
            sides=sides,
            output=_short("".join(self.said)) if result == "failed" else "",
            steps=self.steps,
        )

    def _all(self, file: s.File, declaration: s.Declaration, node: s.TestNode) -> None:
        for each in self.files:
            for other in each.declarations:
                if isinstance(other.statement, s.VarNode):
                    self.turn_to(each, other)
                    self.statement(other.statement, self.top)
        self.turn_to(file, declaration)
        self.body(node.body, self.top)

    def other(self, node: s.StatementNode, scope: Scope) -> None:
        match node:
            case s.AssertNode():
                self._assert(node, scope)
            case s.AdvanceNode():
                self._advance(node, scope)
            case s.VisitNode() | s.LetNode(value=s.VisitNode()) if not self.outside.application:
                raise self.fault(e.NOT_IN_SCRIPT, what="call")
            case _:
                super().other(node, scope)

    def _advance(self, node: s.AdvanceNode, scope: Scope) -> None:
        value = self.value(node.period, scope)
        if not isinstance(value, v.Duration) or value < 0:
            raise self.cannot(f"advance takes a duration, not {v.text(value)}")
        self.advance(node, float(value))

    # --- assert ---

    def _assert(self, node: s.AssertNode, scope: Scope) -> None:
        held, sides = self._judge(node.condition, scope)
        if held:
            return
        message = self.written(node.condition)
        if node.message is not None:
            message = v.hole(self.value(node.message, scope))
        self.span = node.span
        raise self.unmet(message, sides)

    def _judge(self, node: s.Expr, scope: Scope) -> tuple[bool, Sides]:
        """Whether the condition holds; if not, the values of the part that decided it."""
        match node:
            case s.BinaryExpr(op="and" | "or" as op, left=left, right=right):
                held, sides = self._judge(left, scope)
                if held is (op == "or"):
                    return held, sides
                other, more = self._judge(right, scope)
                return other, (*sides, *more) if op == "or" else more
            case s.BinaryExpr(op=op, left=left, right=right) if op in _COMPARISONS:
                self.step(node)
                one, two = self.value(left, scope), self.value(right, scope)
                self.span = node.span
                try:
                    held = bool(self.binary(op, one, two))
                except v.Unfit as bad:
                    raise self.cannot(str(bad)) from bad
                return held, ((self.written(left), one), (self.written(right), two))
            case s.UnaryExpr(op="not", operand=operand):
                held, sides = self._judge(operand, scope)
                return not held, sides
        value = self.truth(node, scope)
        return value, ((self.written(node), value),)

    def _side(self, text: str, value: v.Value) -> Side:
        said = f'"{value}"' if isinstance(value, str) and v.kind(value) == "string" else None
        return Side(text, _short(said or v.text(value)))

    def written(self, node: s.Node) -> str:
        """The node as it stands in the source, on one line."""
        span, lines = node.span, self.texts[self.file]
        found = lines[self.base + span.line - 1 : self.base + span.end_line]
        if not found:
            return ""
        found[-1] = found[-1][: span.end_column - 1]
        found[0] = found[0][span.column - 1 :]
        return _short(" ".join(line.strip() for line in found))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
