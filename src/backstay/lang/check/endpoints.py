"""Endpoints: the path against its parameters, who may call, what is answered."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act, check, rate, settings
from backstay.lang.check.blocks import Members
from backstay.lang.check.calls import USER
from backstay.lang.check.entities import column
from backstay.lang.check.expressions import condition, typed
from backstay.lang.check.fields import record_type
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.types import STRING, UNKNOWN, assignable
from backstay.lang.check.values import mismatch
from backstay.lang.check.world import RESERVED_PATHS, Checker, EntityInfo
from backstay.lang.names import listed, suggestion

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
METHODS: tuple[Method, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE")
_AUTH = ("public", "optional", "required")
_LIST_ONLY = ("filter", "sort", "where", "page_size", "page_limit")
PAGE_SIZE, PAGE_LIMIT, PAGE_MOST = 20, 100, 1000
_STATUS_FIRST, _STATUS_LAST = 100, 599


def method_of(k: Checker, name: s.Ident, what: str) -> Method:
    """One of the five methods; reports another word."""
    for method in METHODS:
        if method == name.name:
            return method
    k.unknown(e.UNKNOWN_WORD, name, METHODS, what=what)
    meant = nearest(name.name, METHODS)
    return next((each for each in METHODS if each == meant), "GET")


class EndpointCheck:
    """One endpoint on its way from tree to plan."""

    def __init__(self, k: Checker, node: s.Declaration) -> None:
        self.k = k
        self.node = node
        self.members = Members(k, node.block)
        self.scope = Scope()

    def run(self) -> p.Endpoint:
        k, members = self.k, self.members
        method_name = self.node.method or self.node.keyword
        method = method_of(k, method_name, "the method of an endpoint")
        path = self.node.path or s.Path(self.node.span, "/", ())
        self._reserved(path)
        path_fields = self._path_fields(path)
        query_fields = self._record("query")
        body = self._body(method)
        self.scope.variables["user"] = USER
        self.scope.lenient = self.node.block.broken
        roles = tuple(name.name for name in members.names("roles"))
        return p.Endpoint(
            method=method,
            path=path.text,
            auth=self._auth(roles),
            does=self._does(path_fields),
            roles=roles,
            path_fields=path_fields,
            query_fields=query_fields,
            body=body,
            status=members.integer("status", 200, 200, 299),
            description=members.text("description"),
            header_fields=self._record("headers"),
            validate=self._checks(),
            errors=tuple(self._errors()),
            on_success=self._on_success(),
            middleware=self._middleware(),
            cache=settings(k, self._value("cache")),
            rate_limit=rate(k, self._value("rate_limit"), "rate_limit"),
            timeout=members.seconds("timeout", 0.0),
            request=self._request(),
            response=self._response(),
            annotations=self._annotations(),
        )

    # --- what is said beside ---

    def _value(self, name: str) -> s.Value | None:
        member = self.members.member(name)
        return member.value if member else None

    def _checks(self) -> tuple[p.Check, ...]:
        node = self.members.value("validate", s.ChecksNode)
        return tuple(check(self.k, each, self.scope) for each in node.checks) if node else ()

    def _errors(self) -> Iterator[tuple[int, p.Expr]]:
        seen: set[int] = set()
        for node in self.members.every("error", s.ErrorNode):
            status = node.status.value if isinstance(node.status.value, int) else 0
            if not _STATUS_FIRST <= status <= _STATUS_LAST:
                fix, value = "a status is 100 to 599", str(node.status.value)
                self.k.error(e.OUT_OF_RANGE, node.status.span, value=value, what="error", fix=fix)
            elif status in seen:
                self.k.error(e.DUPLICATE_MEMBER, node.status.span, name=f"error {status}")
            seen.add(status)
            yield status, typed(self.k, node.message, self.scope, STRING, "the message")

    def _on_success(self) -> p.Act | None:
        node = self.members.value("on_success", s.ActionNode)
        body = self.members.value("on_success", s.Body)
        if body is not None:
            what, instead = "on_success as a block", "write it at the end of do"
            self.k.error(e.UNSUPPORTED, body.span, what=what, instead=instead)
        if node is None:
            return None
        scope = Scope(self.scope)
        scope.lenient = True
        return act(self.k, node, scope)

    def _middleware(self) -> tuple[str, ...]:
        found = [
            name for names in self.members.every("middleware", s.Names) for name in names.names
        ]
        known = self.k.world.named["middleware"]
        for name in found:
            self.k.use("middleware", name.name)
            if name.name not in known and not self.k.world.incomplete:
                edit = suggestion(name.name, known, self.k.reports.at(name.span))
                what = f"unknown middleware '{name.name}'"
                self.k.error(e.UNKNOWN_NAMED, name.span, edit=edit, what=what, known=listed(known))
        role = self.members.text("require_role")
        if role:
            self.k.use("role", role)
        return tuple(name.name for name in found)

    def _request(self) -> tuple[str, str] | None:
        node = self.members.value("request", s.RequestNode)
        if node is None:
            return None
        sources = ("body", "query", "path", "header")
        if node.source.name not in sources:
            self.k.unknown(e.UNKNOWN_WORD, node.source, sources, what="the source of a request")
        return node.type.name, node.source.name

    def _response(self) -> tuple[str, int] | None:
        node = self.members.value("response", s.ResponseNode)
        if node is None:
            return None
        status = node.status.value if node.status else 200
        if not isinstance(status, int) or not _STATUS_FIRST <= status <= _STATUS_LAST:
            fix, span = "a status is 100 to 599", node.status.span if node.status else node.span
            what = "the status of a response"
            self.k.error(e.OUT_OF_RANGE, span, value=str(status), what=what, fix=fix)
            status = 200
        return node.type.name, status

    def _annotations(self) -> tuple[tuple[str, str], ...]:
        found = []
        for each in self.node.annotations:
            value = str(each.value.value) if each.value else ""
            if each.name.name == "auth" and not value:
                what, fix = "@auth needs a value", 'write @auth("jwt")'
                self.k.error(e.SETTING, each.span, what=what, fix=fix)
            if each.name.name == "rate_limit" and not value.isdigit():
                what, fix = "@rate_limit needs a number", 'write @rate_limit("100")'
                self.k.error(e.SETTING, each.span, what=what, fix=fix)
            found.append((each.name.name, value))
        return tuple(found)

    # --- what comes in ---

    def _reserved(self, path: s.Path) -> None:
        first = path.text.strip("/").split("/")[0]
        if first in RESERVED_PATHS:
            what = f"path, /api/v1/{first}"
            self.k.error(e.RESERVED_NAME, path.span, name=f"/{first}", what=what)

    def _record(self, name: str) -> tuple[p.Field, ...]:
        node = self.members.value(name, s.RecordFields)
        if node is None:
            return ()
        kind = record_type(self.k, node)
        self.scope.variables[name] = UNKNOWN if node.broken else kind
        return kind.fields

    def _path_record(self, node: s.RecordFields | None) -> tuple[p.Field, ...]:
        """A parameter of the path is always there, so every field is required."""
        fields = tuple(
            msgspec.structs.replace(field, required=True) for field in self._record("path")
        )
        if node is not None and not node.broken:
            self.scope.variables["path"] = p.RecordType(fields)
        return fields

    def _path_fields(self, path: s.Path) -> tuple[p.Field, ...]:
        node = self.members.value("path", s.RecordFields)
        fields = {field.name: field for field in self._path_record(node)}
        spans = {each.name.name: each.name.span for each in node.fields} if node else {}
        holes: dict[str, s.Ident] = {}
        for hole in path.holes:
            if hole.name in holes:
                self.k.error(e.DUPLICATE_DECLARATION, hole.span, name=hole.name)
            holes[hole.name] = hole
        for name, span in spans.items():
            if name not in holes:
                edit = suggestion(name, holes, self.k.reports.at(span))
                fix = f"write the path with {{{name}}}, or remove the line"
                self.k.error(
                    e.PATH_HOLE, span, edit=edit, name=name, word="not in the path", fix=fix
                )
        unread = self.node.block.broken or any(name not in holes for name in spans)
        unread |= node is not None and node.broken
        for name, hole in holes.items():
            if name not in fields and path.colons:
                fields[name] = p.Field(name, STRING, required=True)
            elif name not in fields and not unread:
                fix = f"add path {{ {name}: uuid }}"
                self.k.error(e.PATH_HOLE, hole.span, name=name, word="not declared", fix=fix)
        return tuple(fields[name] for name in holes if name in fields)

    def _body(self, method: str) -> p.RecordType | None:
        member = self.members.member("body")
        if member is None:
            return None
        if method in ("GET", "DELETE"):
            what, fix = f"a {method} request has no body", "use query { … } or another method"
            self.k.error(e.CONFLICT, member.name.span, what=what, fix=fix)
        return p.RecordType(self._record("body"))

    def _auth(self, roles: tuple[str, ...]) -> Literal["public", "optional", "required"]:
        """Without a word of its own an endpoint wants a user as soon as there can be one."""
        node = self.members.value("auth", s.Ident)
        word = node.name if node else ("required" if self.k.world.has_auth else "public")
        if word == "none":
            word = "public"
        if node and word not in _AUTH:
            self.k.unknown(e.UNKNOWN_WORD, node, _AUTH, what="auth")
        elif node and word != "public" and not self.k.world.has_auth:
            what, fix = f"auth: {word} needs a config with auth", "add config { auth: jwt { … } }"
            self._conflict(node.span, what, fix)
        elif roles and word != "required":
            member = self.members.member("roles")
            span = node.span if node else (member.name.span if member else self.node.span)
            self._conflict(span, "roles need auth: required", "write auth: required")
        if word == "public":
            return "public"
        return "optional" if word == "optional" else "required"

    def _conflict(self, span: s.Range, what: str, fix: str) -> None:
        # A config that could not be read may hold the auth that seems to be missing.
        if not self.k.world.incomplete:
            self.k.error(e.AUTH_CONFLICT, span, what=what, fix=fix)

    # --- what is done ---

    def _does(self, path_fields: tuple[p.Field, ...]) -> p.ListOf | p.OneOf | p.Action:
        members = self.members
        do, returns = members.value("do", s.Body), members.member("returns")
        if do is not None:
            if returns is not None:
                what, fix = "an endpoint with do has no returns", "return a value inside do"
                self.k.error(e.CONFLICT, returns.name.span, what=what, fix=fix)
            self._list_members_only("do")
            return self._action(do)
        if returns is None and ("response" in members or "request" in members):
            return p.Action(())
        kind = returns.value if returns else None
        if isinstance(kind, s.TypeName):
            if kind.name.name == "void":
                return p.Action(())
            if kind.name.name in ("paginated", "list") or kind.args:
                return self._list(kind)
            self._list_members_only("one row")
            return self._one(kind, path_fields)
        if isinstance(kind, s.RecordFields):
            record_type(self.k, kind)
            self.k.note("endpoint.returns.record", kind.span)
        elif "returns" not in members and "do" not in members:
            example = "write returns: paginated(Entity), returns: Entity or do { … }"
            name = self.node.method or self.node.keyword
            members.missing("returns' or 'do", "an endpoint", name.span, example)
        return p.Action(())

    def _list_members_only(self, instead: str) -> None:
        for name in _LIST_ONLY:
            member = self.members.member(name)
            if member is not None and not self.node.block.broken:
                what = f"'{name}' belongs to returns: paginated(…), this endpoint answers {instead}"
                self.k.error(e.CONFLICT, member.name.span, what=what, fix=f"remove '{name}'")

    def _target(self, kind: s.TypeName) -> EntityInfo | None:
        match kind.args:
            case (s.TypeName(name=name, args=()),) if kind.name.name != "list":
                if kind.name.name != "paginated":
                    self.k.unknown(e.UNKNOWN_TYPE, kind.name, ("paginated",))
                return self.k.entity(name)
            case () if kind.name.name not in ("paginated", "list"):
                return self.k.entity(kind.name)
        what = "returns: list(…)" if kind.name.name == "list" else f"returns: {kind.name.name}(…)"
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
            what, instead = "include on a list", "read one row with include, or list the others"
            self.k.error(e.UNSUPPORTED, include.name.span, what=what, instead=instead)
        limit = members.integer("page_limit", PAGE_LIMIT, 1, PAGE_MOST)
        return p.ListOf(
            entity=info.name,
            filter=self._columns(info, "filter"),
            sort=self._columns(info, "sort"),
            where=test,
            page_size=members.integer("page_size", min(PAGE_SIZE, limit), 1, limit),
            page_limit=limit,
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
        if info is None:
            return p.Action(())
        holes = self.node.path.holes if self.node.path else ()
        if len(holes) != 1:
            self.k.error(e.ONE_KEY, kind.span, entity=info.name, count=len(holes))
            return p.Action(())
        if not path_fields or info.key is None:
            return p.Action(())
        field = path_fields[0]
        if not assignable(self.k, info.key.type, field.type):
            what = f"path parameter '{field.name}', the key of {info.name}"
            mismatch(self.k, info.key.type, field.type, self._span_of(field.name), what)
        record = self.scope.variables["path"]
        key = p.Get(p.Name("path", record), field.name, field.type)
        return p.OneOf(info.name, key, self._include(info))

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

    def _action(self, node: s.Body) -> p.Action:
        old = self._is_old(node)
        if old:
            self.scope.variables.setdefault("request", UNKNOWN)
        bodies = Bodies(self.k, may_return=True, mode="old" if old else "do")
        body = bodies.body(node, self.scope, outermost=True)
        info = None
        include = self.members.member("include")
        match bodies.returned:
            case p.Name(type=p.RowType(entity=name)):
                info = self.k.world.entities[name]
            case p.Name(type=p.UnknownType()) | p.Constant(type=p.UnknownType()):
                pass
            case _ if include is not None and not node.broken:
                what = "include needs a row that is returned"
                fix = "return the variable of a create"
                self.k.error(e.CONFLICT, include.name.span, what=what, fix=fix)
        return p.Action(body, bodies.returned, self._include(info))

    def _is_old(self, node: s.Body) -> bool:
        """Whether the statements are the steps of the oldest endpoints."""
        members = self.members
        if "request" in members or "response" in members or self.node.annotations:
            return True
        steps = s.DoNode | s.AssignNode
        return bool(node.statements) and all(isinstance(each, steps) for each in node.statements)


def route_of(endpoint: p.Endpoint) -> str:
    """Method and path with nameless holes: two endpoints with one route collide."""
    parts = ["{}" if part.startswith("{") else part for part in endpoint.path.split("/")]
    return f"{endpoint.method} {'/'.join(parts).rstrip('/') or '/'}"
