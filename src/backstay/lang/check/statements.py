"""Statements of `do { … }`, of functions and of scripts; `writes.py` has those that change rows."""

from collections.abc import Sequence
from typing import Literal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import call_statement, emitted
from backstay.lang.check.expressions import (
    condition,
    declare,
    lower,
    steps_named,
    typed,
    walk,
    watch,
)
from backstay.lang.check.graph import said_after
from backstay.lang.check.oldest import Steps
from backstay.lang.check.returned import returned
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import BOOL, UNKNOWN, UUID, show
from backstay.lang.check.world import BUILTIN, Checker
from backstay.lang.check.writes import Writes

EXECUTION = p.RecordType((p.Field("id", UUID, True),))
"""What `let NAME = start …` gives: the id of the execution."""


class Bodies:
    """Lowers the statements of one block; `returned` is the value of its last `return`.

    `mode` says what they are part of: `do` is work on rows, `old` a `do` whose calls are steps of
    the oldest endpoints, `function` and `script` have variables that change. `result` is the type
    of what they return.
    """

    def __init__(
        self,
        k: Checker,
        *,
        may_return: bool = False,
        mode: Literal["do", "old", "function", "script"] = "do",
        result: p.Type = UNKNOWN,
    ) -> None:
        self._k = k
        self.writes = Writes(k)
        self._may_return = may_return
        self._mode = mode
        self._result = result
        self.steps = Steps(k)
        self.returned: p.Expr | None = None

    def one(self, node: s.StatementNode, scope: Scope) -> p.Statement | None:
        """A statement at the top level, in the scope of all of them."""
        return self._statement(node, scope)

    def function(
        self, node: s.FunctionNode, params: Sequence[p.Field], scope: Scope
    ) -> tuple[p.Statement, ...]:
        """The body of a function, with its parameters in scope."""
        inner = Scope(scope)
        inner.script = True
        for param, field in zip(node.params, params, strict=True):
            if field.name in inner.variables:
                self._k.error(e.DUPLICATE_PARAMETER, param.name.span, name=field.name)
                inner.lenient = True  # one of the two was to have a name that the body knows
            inner.variables[field.name] = field.type
            watch(self._k, inner, field.name, "parameter", param.name.span)
        return self.body(node.body, inner)

    def body(
        self, node: s.Body, scope: Scope, *, outermost: bool = False
    ) -> tuple[p.Statement, ...]:
        """All statements in a scope of their own. `return` stands last in the outermost block."""
        inner = Scope(scope)
        inner.lenient |= node.broken
        found: list[p.Statement] = []
        for each in node.statements:
            if isinstance(each, s.ReturnNode) and self._mode == "function":
                found.append(self._result_of(each, inner))
                if each is not node.statements[-1]:
                    said_after(self._k, each, found[-1])
                continue
            if isinstance(each, s.ReturnNode):
                self._return(each, inner, last=outermost and each is node.statements[-1])
                continue
            old = self._old(each, inner)
            if old is not None:
                found += old
                continue
            made = self._statement(each, inner)
            if made is not None:
                found.append(made)
                if each is not node.statements[-1]:
                    said_after(self._k, each, made)
        return tuple(found)

    def _old(self, node: s.StatementNode, scope: Scope) -> tuple[p.Statement, ...] | None:
        """A step of the oldest endpoints as statements; None for everything else."""
        if self._mode != "old":
            return None
        if isinstance(node, s.AssignNode) and isinstance(node.value, s.CallExpr):
            node = s.DoNode(node.span, node.value, node.name)
        return self.steps.step(node, scope) if isinstance(node, s.DoNode) else None

    def _result_of(self, node: s.ReturnNode, scope: Scope) -> p.Return:
        return p.Return(typed(self._k, node.value, scope, self._result, "the result"))

    def _return(self, node: s.ReturnNode, scope: Scope, *, last: bool) -> None:
        self.returned = returned(self._k, node.value, scope, self._result)
        if self._may_return and last:
            return
        fix = "use if and else around the writes, and return once at the end"
        what = "return stands last in the do block of an endpoint"
        self._k.error(e.MISPLACED, node.span, what=what, fix=fix)

    def _statement(self, node: s.StatementNode, scope: Scope) -> p.Statement | None:
        match node:
            case s.CreateNode():
                return self.writes.create(node, scope, "")
            case s.StartNode():
                return self.writes.start(node, scope, "")
            case s.LetNode():
                return self._let(node, scope)
            case s.UpdateNode():
                return self.writes.update(node, scope)
            case s.DeleteNode():
                return self.writes.delete(node, scope)
            case s.RestoreNode():
                return self.writes.restore(node, scope)
            case s.FailNode():
                return self.writes.fail(node, scope)
            case s.ForNode():
                items, inner = walk(self._k, node.variable, node.items, scope)
                return p.For(node.variable.name, items, self.body(node.body, inner))
            case s.IfNode():
                return self._if(node, scope)
        return self._scripted(node, scope)

    def _if(self, node: s.IfNode, scope: Scope) -> p.If:
        """Inside, the steps are there that the condition asks about."""
        asked = Scope(scope)
        asked.asks = True
        test = self._condition(node.condition, asked)
        inner = Scope(scope)
        inner.held |= steps_named(test)
        then = self.body(node.then, inner)
        return p.If(test, then, self.body(node.otherwise, inner) if node.otherwise else ())

    def _condition(self, node: s.Expr, scope: Scope) -> p.Expr:
        """What `if` asks. The first version had no comparison, so its scripts ask any value."""
        if self._mode not in ("script", "function"):
            return condition(self._k, node, scope, "if")
        test = lower(self._k, node, scope)
        if not isinstance(test.type, p.UnknownType) and test.type != BOOL:
            self._k.error(e.TRUTH_OF_VALUE, node.span, got=show(test.type))
        return test

    def _scripted(self, node: s.StatementNode, scope: Scope) -> p.Statement | None:
        k = self._k
        match node:
            case s.VarNode(name=name, value=value):
                plain = lower(k, value, scope)
                if name.name in k.world.functions or name.name in BUILTIN:
                    k.error(e.DUPLICATE_DECLARATION, name.span, name=name.name)
                else:
                    declare(k, scope, name, plain.type, "variable")
                return p.Let(name.name, plain)
            case s.AssignNode():
                return self._assign(node, scope)
            case s.DoNode(call=call):
                if isinstance(call, s.CallExpr) and self._is_call(node, call):
                    return p.Let("", lower(k, call, scope))
                made = call_statement(k, node, scope, free=self._mode == "old")
                if node.target is not None:
                    scope.variables[node.target.name] = UNKNOWN
                return made
            case s.EmitNode():
                return emitted(k, node, scope)
            case s.ExecNode(command=command):
                return p.Exec(command)
            case s.FunctionNode(name=name):
                what, fix = "a function inside a block", "move it to the top level"
                k.error(e.MISPLACED, name.span, what=what, fix=fix)
        return None

    def _is_call(self, node: s.DoNode, call: s.CallExpr) -> bool:
        """Whether a function is called, and no action done by its name."""
        if self._mode in ("script", "function"):
            return True
        own = isinstance(call.callee, s.NameExpr) and call.callee.name in self._k.world.functions
        return own and node.target is None and node.where is None and not node.options

    def _assign(self, node: s.AssignNode, scope: Scope) -> p.Statement:
        """`NAME = EXPR`. In the oldest endpoints it makes the name."""
        k, name = self._k, node.name
        if self._mode == "old" and isinstance(node.value, s.CallExpr):
            call = s.DoNode(node.span, node.value, name)
            made = call_statement(k, call, scope, free=True)
            scope.variables[name.name] = UNKNOWN
            return made
        value = lower(k, node.value, scope)
        if scope.find(name.name) is None:
            if name.name in k.world.functions or name.name in BUILTIN:
                k.error(e.ASSIGN_FUNCTION, name.span, name=name.name)
            elif not scope.lenient:
                k.unknown(e.UNDEFINED_VARIABLE, name, scope.names())
        else:
            self._retype(scope, name.name, value.type)
        return p.Assign(name.name, value)

    def _retype(self, scope: Scope, name: str, kind: p.Type) -> None:
        """A variable may take a value of another type; then nothing is known of it that was not
        said last."""
        at: Scope | None = scope
        while at is not None and name not in at.variables:
            at = at.parent
        if at is not None and at.variables[name] != kind:
            at.variables[name] = kind if at is scope else UNKNOWN

    def _let(self, node: s.LetNode, scope: Scope) -> p.Statement | None:
        value, name = node.value, node.name.name
        made: p.Statement | None
        kind: p.Type = UNKNOWN
        if isinstance(value, s.CreateNode):
            made = self.writes.create(value, scope, name)
            kind = p.RowType(made.entity) if made else UNKNOWN
        elif isinstance(value, s.StartNode):
            made = self.writes.start(value, scope, name)
            kind = EXECUTION
        elif isinstance(value, s.QueryNode):
            # The query language is read when a program has a query.
            from backstay.lang.check.queries import asked

            kind, parameters = asked(self._k, value, scope)
            made = p.Ask(name, value.text, kind, parameters)
        elif isinstance(value, s.GivenNode | s.RunNode | s.VisitNode):
            return None  # a test's own, and read there
        else:
            plain = lower(self._k, value, scope)
            made, kind = p.Let(name, plain), plain.type
        declare(self._k, scope, node.name, kind, "variable")
        return made
