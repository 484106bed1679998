"""What changes rows, against its entity, and what starts a workflow, against its inputs."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.columns import json_of
from backstay.lang.check.expressions import condition, lower, typed, walk
from backstay.lang.check.fields import with_type
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import STRING, UNKNOWN, show
from backstay.lang.check.values import fit
from backstay.lang.check.world import Checker, EntityInfo

_DO_STATUS = range(400, 500)


class Writes:
    """Lowers one statement at a time; what could not be resolved gives None."""

    def __init__(self, k: Checker) -> None:
        self._k = k

    def create(self, node: s.CreateNode, scope: Scope, into: str) -> p.Create | None:
        k = self._k
        info = k.entity(node.entity)
        if info is None:
            self.loose(node.values, scope)
            return None
        values = tuple(self.values(node.values, scope, scope, info, ""))
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
            made = field.default is not None or field.auto or field.auto_update
            needed = (field.required or field.primary) and not made and field.name != besides
            if needed and field.name not in given and not isinstance(field.type, p.ManyType):
                owner = f"create {info.name}"
                self._k.error(e.MISSING_VALUE, span, owner=owner, name=field.name)

    def values(
        self,
        entries: Sequence[s.Entry],
        scope: Scope,
        inner: Scope,
        info: EntityInfo,
        besides: str,
    ) -> "list[tuple[str, p.Expr]]":
        """The fields given a value, each once. `inner` is the scope of plain values; rows of a
        nested create have their own, in `scope`. `besides` is set by the runtime."""
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
                json_of(k, found[name.name], field, entry.value.span, inner)
        return list(found.items())

    def _rows(self, entry: s.Entry, scope: Scope, many: p.ManyType) -> p.Expr:
        """The rows that a nested create makes: `[x in LIST: { … }]`, or each written out."""
        k = self._k
        other = k.world.entities[many.entity]
        node = entry.value
        if scope.row is None and isinstance(node, s.ListExpr):
            records = [each for each in node.items if isinstance(each, s.RecordExpr)]
            if len(records) == len(node.items):
                k.note("expression.list", node.span)
                rows = tuple(self._row(each, scope, other, many) for each in records)
                kinds = {row.type for row in rows}
                return p.Listed(rows, p.ListType(kinds.pop() if len(kinds) == 1 else UNKNOWN))
        if scope.row is not None or not isinstance(node, s.Each):
            value = None if isinstance(node, s.ListExpr) else lower(k, node, scope)
            got = show(value.type) if value else "a list of other than { … }"
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
        row = self._row(node.value, inner, other, many)
        return p.Map(node.variable.name, items, row, p.ListType(row.type))

    def _row(
        self, node: s.RecordExpr, scope: Scope, other: EntityInfo, many: p.ManyType
    ) -> p.Record:
        """One row of a nested create."""
        values = self.values(node.fields, scope, scope, other, many.via)
        self.complete(other, {each.name.name for each in node.fields}, node.span, many.via)
        kind = p.RecordType(
            tuple(with_type(other.fields[name], value.type) for name, value in values)
        )
        return p.Record(tuple(values), kind)

    def update(self, node: s.UpdateNode, scope: Scope) -> p.Update | None:
        k = self._k
        info = k.entity(node.entity)
        otherwise = self.fail(node.otherwise, scope) if node.otherwise else None
        if info is None:
            self.loose(node.values, scope)
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
        values = tuple(self.values(entries, scope, inner, info, ""))
        return p.Update(info.name, test, values, otherwise)

    def delete(self, node: s.DeleteNode, scope: Scope) -> p.Delete | None:
        info = self._k.entity(node.entity)
        if info is None:
            return None
        test = condition(self._k, node.where, Scope(scope, row=info), "where")
        return p.Delete(info.name, test)

    def restore(self, node: s.RestoreNode, scope: Scope) -> p.Restore | None:
        k = self._k
        info = k.entity(node.entity)
        if info is None:
            return None
        if not info.soft and not info.broken:
            what = f"'{info.name}' keeps no deleted rows"
            k.error(e.CONFLICT, node.entity.span, what=what, fix="add soft_delete to the entity")
        test = condition(k, node.where, Scope(scope, row=info), "where")
        return p.Restore(info.name, test)

    def loose(self, entries: Sequence[s.Entry], scope: Scope) -> None:
        """The entity or workflow is unknown, and its names with it; the rest is still checked."""
        inner = Scope(scope)
        inner.lenient = True
        for entry in entries:
            lower(self._k, entry.value, inner)

    def fail(self, node: s.FailNode, scope: Scope) -> p.Fail:
        k = self._k
        status = 409
        if node.status is not None:
            status = int(node.status.value or 0)
            if status not in _DO_STATUS:
                fix = "fail answers with a status from 400 to 499"
                k.error(e.OUT_OF_RANGE, node.status.span, value=str(status), what="fail", fix=fix)
        return p.Fail(typed(k, node.message, scope, STRING, "fail"), status)

    def start(self, node: s.StartNode, scope: Scope, into: str) -> p.Start | None:
        k = self._k
        info = k.world.workflows.get(node.workflow.name)
        k.use("workflow", node.workflow.name)
        if info is None:
            if not k.world.incomplete:
                k.unknown(e.UNKNOWN_WORKFLOW, node.workflow, k.world.workflows)
            self.loose(node.input, scope)
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
