"""What an endpoint answers: a list, one row, or what its statements return."""

from typing import Literal

import msgspec

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.entities import column
from backstay.lang.check.expressions import condition
from backstay.lang.check.implied import created, deleted, updated
from backstay.lang.check.oldest import answer, request
from backstay.lang.check.returned import of_row, promised
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.types import UNKNOWN, assignable, is_builtin, resolve
from backstay.lang.check.values import mismatch
from backstay.lang.check.world import Checker, EntityInfo

_LIST_ONLY = ("filter", "sort", "where", "page_size", "page_limit")
_REMEDIES = {
    "POST": "write do {{ let row = create {entity} {{ … }} return row }}",
    "PUT": "write do {{ update {entity} where id == path.id {{ … }} }}",
    "PATCH": "write do {{ update {entity} where id == path.id {{ … }} }}",
    "DELETE": "write do {{ delete {entity} where id == path.id }}",
}
PAGE_SIZE, PAGE_LIMIT, PAGE_MOST = 20, 100, 1000


class Answer:
    """What one endpoint does. `scope` holds what came in, the user among it."""

    def __init__(self, k: Checker, node: s.Declaration, members: Members, scope: Scope) -> None:
        self.k = k
        self.node = node
        self.members = members
        self.scope = scope

    def run(self, path_fields: tuple[p.Field, ...]) -> p.ListOf | p.OneOf | p.Action:
        members = self.members
        do, returns = members.value("do", s.Body), members.member("returns")
        if do is not None:
            self._list_members_only("do")
            return self._action(do, returns)
        if returns is None and ("response" in members or "request" in members):
            self.k.note("endpoint.alone", (self.node.path or self.node.keyword).span)
            return p.Action(())
        if returns is None:
            if "do" not in members:
                example = "write returns: paginated(Entity), returns: Entity or do { … }"
                name = self.node.method or self.node.keyword
                members.missing("returns' or 'do", "an endpoint", name.span, example)
            return p.Action(())
        made = self._implied(returns.value, path_fields)
        if made is not None:
            return made
        if self._changes_nothing(returns):
            return p.Action(())
        return self._given(returns.value, path_fields)

    def _implied(self, kind: s.Value, path_fields: tuple[p.Field, ...]) -> p.Action | None:
        """What the method alone says to do: make, change or remove a row."""
        method = self.node.method.name if self.node.method else "GET"
        path, body = self.node.path, self.members.value("body", s.RecordFields)
        if not isinstance(kind, s.TypeName) or path is None or kind.args:
            return None
        if method == "DELETE" and kind.name.name == "void" and len(path.holes) == 1:
            info = self._of_table(path.text.strip("/").split("/")[0])
            key = self._key(kind, info, path_fields) if info else None
            return deleted(info, key) if info and key else None
        if body is None or kind.name.name == "void" or is_builtin(kind.name.name):
            return None
        if (method, len(path.holes)) == ("POST", 0):
            info = self._target(kind)
            made = created(self.k, info, body, self.scope) if info else p.Action(())
        elif method in ("PUT", "PATCH") and len(path.holes) == 1:
            info = self._target(kind)
            key = self._key(kind, info, path_fields) if info else None
            made = updated(self.k, info, body, self.scope, key) if info and key else p.Action(())
        else:
            return None
        self._list_members_only("one row")
        return msgspec.structs.replace(made, include=self._include(info))

    def _of_table(self, table: str) -> EntityInfo | None:
        entities = self.k.world.entities.values()
        return next((each for each in entities if each.table == table), None)

    def _given(
        self, kind: s.Value, path_fields: tuple[p.Field, ...]
    ) -> p.ListOf | p.OneOf | p.Action:
        """What `returns` alone answers."""
        if isinstance(kind, s.RecordFields) or (
            isinstance(kind, s.TypeName) and self._is_plain(kind)
        ):
            shape = resolve(self.k, kind)
            self._list_members_only("a value")
            return self._picked(kind, shape, path_fields)
        if not isinstance(kind, s.TypeName) or kind.name.name == "void":
            return p.Action(())
        if kind.name.name in ("paginated", "list") or kind.args:
            return self._list(kind)
        self._list_members_only("one row")
        return self._one(kind, path_fields)

    def _picked(
        self, kind: s.TypeName | s.RecordFields, shape: p.Type, path_fields: tuple[p.Field, ...]
    ) -> p.ListOf | p.OneOf | p.Action:
        """A shape is filled from the rows of the entity whose table begins the path."""
        path = self.node.path
        info = self._of_table(path.text.strip("/").split("/")[0]) if path else None
        several = isinstance(shape, p.ListType)
        item = shape.item if isinstance(shape, p.ListType) else shape
        if info is None or not isinstance(item, p.RecordType):
            told = any(name in self.members for name in _LIST_ONLY)
            if not isinstance(item, p.UnknownType) and not told:
                what = "nothing says where the values of returns come from"
                fix = "write do { … return { name: value } }"
                self.k.error(e.CONFLICT, kind.span, what=what, fix=fix)
            return p.Action(())
        of_row(self.k, info, item.fields, kind.span)
        self._whole_rows_only()
        names = tuple(field.name for field in item.fields)
        if several:
            return p.ListOf(info.name, page_size=PAGE_LIMIT, paged=False, picked=names)
        key = self._key(s.TypeName(kind.span, s.Ident(kind.span, info.name)), info, path_fields)
        return p.OneOf(info.name, key, picked=names) if key else p.Action(())

    def _changes_nothing(self, returns: s.Member) -> bool:
        """Whether the method promises a change that nobody makes."""
        method = self.node.method.name if self.node.method else "GET"
        remedy = _REMEDIES.get(method)
        if remedy is None or "on_success" in self.members or self.node.block.broken:
            return False
        entity = "Entity"
        if isinstance(returns.value, s.TypeName) and returns.value.name.name != "void":
            entity = returns.value.name.name
        what = f"a {method} endpoint without do changes nothing"
        self.k.error(e.CONFLICT, returns.name.span, what=what, fix=remedy.format(entity=entity))
        return True

    def _is_plain(self, kind: s.TypeName) -> bool:
        """`list(string)` and `list({ … })`: no rows."""
        if kind.name.name != "list" or len(kind.args) != 1:
            return False
        item = kind.args[0]
        return isinstance(item, s.RecordFields) or (
            isinstance(item, s.TypeName) and is_builtin(item.name.name)
        )

    def _list_members_only(self, instead: str) -> None:
        for name in _LIST_ONLY:
            member = self.members.member(name)
            if member is not None and not self.node.block.broken:
                what = f"'{name}' belongs to returns: paginated(…), this endpoint answers {instead}"
                self.k.error(e.CONFLICT, member.name.span, what=what, fix=f"remove '{name}'")

    def _target(self, kind: s.TypeName) -> EntityInfo | None:
        match kind.args:
            case (s.TypeName(name=name, args=()),):
                if kind.name.name not in ("paginated", "list"):
                    self.k.unknown(e.UNKNOWN_TYPE, kind.name, ("paginated", "list"))
                return self.k.entity(name)
            case () if kind.name.name not in ("paginated", "list"):
                return self.k.entity(kind.name)
        what = f"returns: {kind.name.name}(…)"
        self.k.error(e.UNSUPPORTED, kind.span, what=what, instead="write paginated(Entity)")
        return None

    def _list(self, kind: s.TypeName) -> p.ListOf | p.Action:
        info = self._target(kind)
        if info is None:
            return p.Action(())
        members = self.members
        where = members.expression("where")
        test = None
        if where is not None:
            test = condition(self.k, where, Scope(self.scope, row=info), "where")
        include = members.member("include")
        if include is not None:
            self.k.note("endpoint.include.list", include.name.span)
        paged = kind.name.name != "list"
        if not paged:
            self.k.note("endpoint.returns.list", kind.span)
        limit = members.integer("page_limit", PAGE_LIMIT, 1, PAGE_MOST)
        return p.ListOf(
            entity=info.name,
            filter=self._columns(info, "filter"),
            sort=self._columns(info, "sort"),
            where=test,
            page_size=members.integer("page_size", min(PAGE_SIZE, limit), 1, limit),
            page_limit=limit,
            include=self._include(info),
            paged=paged,
        )

    def _columns(self, info: EntityInfo, name: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for ident in self.members.names(name):
            if ident.name in found:
                self.k.error(e.DUPLICATE_MEMBER, ident.span, name=ident.name)
            elif column(self.k, info, ident, f"be used in {name}") is not None:
                found[ident.name] = None
        return tuple(found)

    def _one(self, kind: s.TypeName, path_fields: tuple[p.Field, ...]) -> p.OneOf | p.Action:
        info = self._target(kind)
        key = self._key(kind, info, path_fields) if info else None
        if info is None or key is None:
            return p.Action(())
        return p.OneOf(info.name, key, self._include(info))

    def _key(
        self, kind: s.TypeName, info: EntityInfo, path_fields: tuple[p.Field, ...]
    ) -> p.Get | None:
        """The path's only parameter, which is the key of a row."""
        holes = self.node.path.holes if self.node.path else ()
        if len(holes) != 1:
            self.k.error(e.ONE_KEY, kind.span, entity=info.name, count=len(holes))
            return None
        if not path_fields or info.key is None:
            return None
        field = path_fields[0]
        if not assignable(self.k, info.key.type, field.type):
            what = f"path parameter '{field.name}', the key of {info.name}"
            mismatch(self.k, info.key.type, field.type, self._span_of(field.name), what)
        self.scope.use("path", field.name)
        record = self.scope.variables.get("path", p.RecordType(path_fields))
        return p.Get(p.Name("path", record), field.name, field.type)

    def _span_of(self, name: str) -> s.Range:
        node = self.members.value("path", s.RecordFields)
        spans = [each.type.span for each in node.fields if each.name.name == name] if node else []
        return spans[0] if spans else self.node.keyword.span

    def _include(self, info: EntityInfo | None) -> tuple[str, ...]:
        names = self.members.names("include")
        if info is None:
            return tuple(name.name for name in names)
        related = [
            name
            for name, field in info.fields.items()
            if isinstance(field.type, p.ManyType | p.RefType | p.UnknownType)
        ]
        for name in names:
            field = info.fields.get(name.name)
            if name.name not in related and not (field is None and info.broken):
                self.k.unknown(
                    e.UNKNOWN_FIELD, name, related, owner=f"the relations of '{info.name}'"
                )
        return tuple(name.name for name in names if name.name in related)

    def _action(self, node: s.Body, promise: s.Member | None) -> p.Action:
        shape = promised(self.k, promise) if promise else None
        old = self.node.is_oldest
        first: tuple[p.Statement, ...] = ()
        if old:
            asked = self.members.value("request", s.RequestNode)
            first = (request(self.scope, asked.source.name if asked else "path"),)
        mode: Literal["old", "do"] = "old" if old else "do"
        bodies = Bodies(self.k, may_return=True, mode=mode, result=shape or UNKNOWN)
        body = (*first, *bodies.body(node, self.scope, outermost=True))
        if bodies.returned is None:
            response = self.members.value("response", s.ResponseNode)
            last, bodies.returned = answer(self.k, bodies.steps, response)
            body += last
        self._keeps(promise, bodies.returned, node)
        info = None
        include = self.members.member("include")
        match bodies.returned:
            case _ if isinstance(shape, p.RecordType | p.ListType):
                self._whole_rows_only()
            case p.Name(type=p.RowType(entity=name)):
                info = self.k.world.entities[name]
            case p.Name(type=p.UnknownType()) | p.Constant(type=p.UnknownType()):
                pass
            case _ if include is not None and not node.broken:
                what = "include needs a row that is returned"
                fix = "return the variable of a create"
                self.k.error(e.CONFLICT, include.name.span, what=what, fix=fix)
        return p.Action(body, bodies.returned, self._include(info), shape)

    def _whole_rows_only(self) -> None:
        """A shape says all that an answer has."""
        include = self.members.member("include")
        if include is not None:
            what, fix = "include adds to a whole row", "write returns: Entity, or no returns"
            self.k.error(e.CONFLICT, include.name.span, what=what, fix=fix)

    def _keeps(self, promise: s.Member | None, given: p.Expr | None, node: s.Body) -> None:
        """What `returns` promises is returned, and nothing where it promises nothing."""
        if promise is None or node.broken:
            return
        nothing = isinstance(promise.value, s.TypeName) and promise.value.name.name == "void"
        if nothing and given is not None:
            what, fix = "returns: void answers nothing", "leave the return out, or name its type"
            self.k.error(e.CONFLICT, promise.name.span, what=what, fix=fix)
        elif not nothing and given is None:
            what, fix = "do ends without the value that returns promises", "end it with return …"
            self.k.error(e.CONFLICT, promise.name.span, what=what, fix=fix)
