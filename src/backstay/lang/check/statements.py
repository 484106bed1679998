"""Statements of `do { … }`: every write against its entity, every start against its workflow."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
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
from backstay.lang.check.fields import with_type
from backstay.lang.check.graph import said_after
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import BOOL, STRING, UNKNOWN, UUID, show
from backstay.lang.check.values import fit
from backstay.lang.check.world import BUILTIN, Checker, EntityInfo

EXECUTION = p.RecordType((p.Field("id", UUID, True),))
"""What `let NAME = start …` gives: the id of the execution."""

_DO_STATUS = range(400, 500)


class Bodies:
    """Lowers the statements of one block; `returned` is the value of its last `return`.

    `mode` says what they are part of: `do` is work on rows, `old` a `do` whose calls are steps of
    the oldest endpoints, `function` and `script` have variables that change.
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
        self._may_return = may_return
        self._mode = mode
        self._result = result
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
            made = self._statement(each, inner)
            if made is not None:
                found.append(made)
                if each is not node.statements[-1]:
                    said_after(self._k, each, made)
        return tuple(found)

    def _result_of(self, node: s.ReturnNode, scope: Scope) -> p.Return:
        return p.Return(typed(self._k, node.value, scope, self._result, "the result"))

    def _return(self, node: s.ReturnNode, scope: Scope, *, last: bool) -> None:
        self.returned = lower(self._k, node.value, scope)
        if self._may_return and last:
            return
        fix = "use if and else around the writes, and return once at the end"
        what = "return stands last in the do block of an endpoint"
        self._k.error(e.MISPLACED, node.span, what=what, fix=fix)

    def _statement(self, node: s.StatementNode, scope: Scope) -> p.Statement | None:
        match node:
            case s.CreateNode():
                return self._create(node, scope, "")
            case s.StartNode():
                return self._start(node, scope, "")
            case s.LetNode():
                return self._let(node, scope)
            case s.UpdateNode():
                return self._update(node, scope)
            case s.DeleteNode():
                return self._delete(node, scope)
            case s.RestoreNode():
                return self._restore(node, scope)
            case s.FailNode():
                return self._fail(node, scope)
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
            made = self._create(value, scope, name)
            kind = p.RowType(made.entity) if made else UNKNOWN
        elif isinstance(value, s.StartNode):
            made = self._start(value, scope, name)
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

    # --- writes ---

    def _create(self, node: s.CreateNode, scope: Scope, into: str) -> p.Create | None:
        k = self._k
        info = k.entity(node.entity)
        if info is None:
            self._loose(node.values, scope)
            return None
        values = tuple(self._values(node.values, scope, scope, info, ""))
        self.complete(info, {entry.name.name for entry in node.values}, node.entity.span)
        return p.Create(info.name, values, into)

    def complete(
        self, info: EntityInfo, given: AbstractSet[str], span: s.Range, besides: str = ""
    ) -> None:
        """Reports each field that a new row needs and nothing gives."""
        if any(name not in info.fields for name in given):
            # Most likely it is given under a wrong name, and that is reported.
            return
        for field in info.fields.values():
            made = field.default is not None or field.auto
            needed = (field.required or field.primary) and not made and field.name != besides
            if needed and field.name not in given and not isinstance(field.type, p.ManyType):
                owner = f"create {info.name}"
                self._k.error(e.MISSING_VALUE, span, owner=owner, name=field.name)

    def _values(
        self,
        entries: Sequence[s.Entry],
        scope: Scope,
        inner: Scope,
        info: EntityInfo,
        besides: str,
    ) -> "list[tuple[str, p.Expr]]":
        k = self._k
        found: dict[str, p.Expr] = {}
        for entry in entries:
            name = entry.name
            field = info.fields.get(name.name)
            if name.name in found:
                k.error(e.DUPLICATE_MEMBER, name.span, name=name.name)
            if field is None or name.name == besides:
                if not info.broken:
                    known = [each for each in info.fields if each != besides]
                    k.unknown(e.UNKNOWN_FIELD, name, known, owner=f"entity '{info.name}'")
                lower(k, entry.value, inner)
            elif isinstance(field.type, p.ManyType):
                found[name.name] = self._rows(entry, scope, field.type)
            else:
                what = f"field '{name.name}'"
                found[name.name] = typed(k, entry.value, inner, field.type, what)
        return list(found.items())

    def _rows(self, entry: s.Entry, scope: Scope, many: p.ManyType) -> p.Expr:
        """The rows that a nested create makes: `[x in LIST: { … }]`."""
        k = self._k
        other = k.world.entities[many.entity]
        node = entry.value
        if scope.row is not None or not isinstance(node, s.Each):
            value = None if isinstance(node, s.ListExpr) else lower(k, node, scope)
            got = show(value.type) if value else "a list written out"
            wanted = f"[x in LIST: {{ … }}] of {other.name}"
            what = f"field '{entry.name.name}'"
            k.error(e.MISMATCH, node.span, what=what, wanted=wanted, got=got)
            return value or p.Constant(None, UNKNOWN)
        items, inner = walk(k, node.variable, node.items, scope)
        if not isinstance(node.value, s.RecordExpr):
            value = lower(k, node.value, inner)
            what, wanted = f"a row of {other.name}", "{ field: value }"
            k.error(e.MISMATCH, node.value.span, what=what, wanted=wanted, got=show(value.type))
            return p.Map(node.variable.name, items, value, p.ListType(value.type))
        values = self._values(node.value.fields, inner, inner, other, many.via)
        self.complete(
            other, {each.name.name for each in node.value.fields}, node.value.span, many.via
        )
        kind = p.RecordType(
            tuple(with_type(other.fields[name], value.type) for name, value in values)
        )
        row = p.Record(tuple(values), kind)
        return p.Map(node.variable.name, items, row, p.ListType(kind))

    def _update(self, node: s.UpdateNode, scope: Scope) -> p.Update | None:
        k = self._k
        info = k.entity(node.entity)
        otherwise = self._fail(node.otherwise, scope) if node.otherwise else None
        if info is None:
            self._loose(node.values, scope)
            return None
        inner = Scope(scope, row=info)
        test = condition(k, node.where, inner, "where")
        for entry in node.values:
            field = info.fields.get(entry.name.name)
            if field and (field.primary or isinstance(field.type, p.ManyType)):
                what = "it cannot be set" if not field.primary else "it cannot be changed"
                k.error(
                    e.NOT_A_COLUMN,
                    entry.name.span,
                    name=f"the key {field.name}" if field.primary else field.name,
                    entity=info.name,
                    what=what,
                )
        entries = [each for each in node.values if not _is_rows(info, each)]
        values = tuple(self._values(entries, scope, inner, info, ""))
        return p.Update(info.name, test, values, otherwise)

    def _delete(self, node: s.DeleteNode, scope: Scope) -> p.Delete | None:
        info = self._k.entity(node.entity)
        if info is None:
            return None
        test = condition(self._k, node.where, Scope(scope, row=info), "where")
        return p.Delete(info.name, test)

    def _restore(self, node: s.RestoreNode, scope: Scope) -> p.Restore | None:
        k = self._k
        info = k.entity(node.entity)
        if info is None:
            return None
        if not info.soft and not info.broken:
            what = f"'{info.name}' keeps no deleted rows"
            k.error(e.CONFLICT, node.entity.span, what=what, fix="add soft_delete to the entity")
        test = condition(k, node.where, Scope(scope, row=info), "where")
        return p.Restore(info.name, test)

    def _loose(self, entries: Sequence[s.Entry], scope: Scope) -> None:
        """The entity or workflow is unknown, and its names with it; the rest is still checked."""
        inner = Scope(scope)
        inner.lenient = True
        for entry in entries:
            lower(self._k, entry.value, inner)

    # --- others ---

    def _fail(self, node: s.FailNode, scope: Scope) -> p.Fail:
        k = self._k
        status = 409
        if node.status is not None:
            status = int(node.status.value or 0)
            if status not in _DO_STATUS:
                fix = "fail answers with a status from 400 to 499"
                k.error(e.OUT_OF_RANGE, node.status.span, value=str(status), what="fail", fix=fix)
        return p.Fail(typed(k, node.message, scope, STRING, "fail"), status)

    def _start(self, node: s.StartNode, scope: Scope, into: str) -> p.Start | None:
        k = self._k
        info = k.world.workflows.get(node.workflow.name)
        k.use("workflow", node.workflow.name)
        if info is None:
            if not k.world.incomplete:
                k.unknown(e.UNKNOWN_WORKFLOW, node.workflow, k.world.workflows)
            self._loose(node.input, scope)
            return None
        wanted = {field.name: field for field in info.input}
        found: dict[str, p.Expr] = {}
        for entry in node.input:
            name = entry.name.name
            field = wanted.get(name)
            if name in found:
                k.error(e.DUPLICATE_MEMBER, entry.name.span, name=name)
            if field is None:
                if not info.broken:
                    k.unknown(e.UNKNOWN_INPUT, entry.name, wanted, workflow=info.name)
                lower(k, entry.value, scope)
                continue
            value = lower(k, entry.value, scope)
            found[name] = fit(k, value, field.type, entry.value.span, f"input '{name}'")
        named = all(entry.name.name in wanted for entry in node.input)
        for field in wanted.values() if named else ():
            if field.required and field.default is None and field.name not in found:
                owner = f"start {info.name}"
                k.error(e.MISSING_VALUE, node.workflow.span, owner=owner, name=field.name)
        return p.Start(info.name, tuple(found.items()), into)


def _is_rows(info: EntityInfo, entry: s.Entry) -> bool:
    field = info.fields.get(entry.name.name)
    return field is not None and isinstance(field.type, p.ManyType)
