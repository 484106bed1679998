"""Endpoints: the path against its parameters, who may call, what is answered."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act, check, rate, settings
from backstay.lang.check.annotated import Annotated
from backstay.lang.check.answers import Answer
from backstay.lang.check.blocks import Members
from backstay.lang.check.calls import USER
from backstay.lang.check.expressions import typed, watch
from backstay.lang.check.fields import record_type
from backstay.lang.check.oldest import SOURCES, of_table, sent
from backstay.lang.check.repeats import repeats
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import STRING, UNKNOWN
from backstay.lang.check.world import RESERVED_PATHS, Checker
from backstay.lang.diagnostics import Edit
from backstay.lang.names import listed, suggestion

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
METHODS: tuple[Method, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE")
AUTH = ("public", "optional", "required")
_TAKEN = {
    "path": "path parameter",
    "query": "query parameter",
    "body": "body field",
    "headers": "header",
}
_STATUS_FIRST, _STATUS_LAST = 100, 599
_DONE = range(200, 300)
_PLACES = {"header": "headers", "body": "body", "query": "query"}


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
        named = self._sent(method, path)
        told = Annotated(k, self.node, members)
        query_fields = self._record("query") or named.get("query", ())
        headers = self._record("headers") or named.get("headers", ())
        body = self._body(method)
        if body is None and "body" in named:
            body = p.RecordType(named["body"])
        self.scope.variables["user"] = USER
        self.scope.lenient = self.node.block.broken
        roles = tuple(name.name for name in members.names("roles"))
        for role in members.names("roles"):
            self._role(role, "{}")
        self._watch(path)
        does = Answer(self.k, self.node, self.members, self.scope).run(path_fields)
        return p.Endpoint(
            method=method,
            path=path.text,
            auth=self._auth(roles, told),
            does=does,
            roles=roles,
            path_fields=path_fields,
            query_fields=query_fields,
            body=body,
            status=members.integer("status", self._status(), 200, 299),
            description=members.text("description"),
            header_fields=headers,
            validate=self._checks(),
            errors=tuple(self._errors()),
            on_success=self._on_success(),
            middleware=self._middleware(),
            cache=settings(k, self._value("cache")),
            rate_limit=rate(k, self._value("rate_limit"), "rate_limit") or told.rate(),
            timeout=members.seconds("timeout", 0.0),
            request=self._request(),
            response=self._response(),
            annotations=told.all,
            require_role=members.text("require_role"),
            repeats=repeats(k, members.member("idempotency"), does),
        )

    def _watch(self, path: s.Path) -> None:
        """What comes in should be used: parameters of the path, and the rest where statements say
        what is done with it."""
        do, returns = self.members.value("do", s.Body), self.members.value("returns", s.TypeName)
        rows = returns is not None and returns.name.name != "void"
        if self.node.annotations or not (do or rows):
            return
        for name in _TAKEN if do else ("path",):
            node = self.members.value(name, s.RecordFields)
            fields = [each.name for each in node.fields] if node else []
            if name == "path" and path.colons:
                fields = list(path.holes)
            for field in fields:
                full = f"{name}.{field.name}"
                watch(self.k, self.scope, full, _TAKEN[name], field.span, renames=False)

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
        role = self.members.value("require_role", s.Literal_)
        if role is not None:
            self._role(s.Ident(role.span, str(role.value)), '"{}"')
        return tuple(name.name for name in found)

    def _role(self, name: s.Ident, written: str) -> None:
        """Roles come with the token, so any may be meant; one close to a declared one is a slip."""
        k, known = self.k, self.k.world.named["role"]
        k.use("role", name.name)
        meant = None if name.name in known or k.world.incomplete else nearest(name.name, known)
        if meant is not None:
            edit = Edit(f"did you mean '{meant}'?", k.reports.at(name.span), written.format(meant))
            what = f"unknown role '{name.name}'"
            k.error(e.UNKNOWN_NAMED, name.span, edit=edit, what=what, known=listed(known))

    # --- the oldest words ---

    def _request(self) -> tuple[str, str] | None:
        node = self.members.value("request", s.RequestNode)
        if node is None:
            return None
        if node.source.name not in SOURCES:
            self.k.unknown(e.UNKNOWN_WORD, node.source, SOURCES, what="the source of a request")
        return node.type.name, node.source.name

    def _sent(self, method: str, path: s.Path) -> dict[str, tuple[p.Field, ...]]:
        """The fields of `request NAME from …`, by their place, where none are written out."""
        node = self.members.value("request", s.RequestNode)
        place = _PLACES.get(node.source.name, "path") if node else "path"
        if node is None or place == "path" or place in self.members:
            return {}
        fields = sent(self.k, node, method, path)
        if fields is None:
            self.k.note("endpoint.request.type", node.type.span)
            return {}
        self.scope.variables[place] = p.RecordType(fields)
        return {place: fields}

    def _response(self) -> tuple[str, int] | None:
        node = self.members.value("response", s.ResponseNode)
        if node is None:
            return None
        status = node.status.value if node.status else 200
        span = node.status.span if node.status else node.span
        if not isinstance(status, int) or not _STATUS_FIRST <= status <= _STATUS_LAST:
            fix, what = "a status is 100 to 599", "the status of a response"
            self.k.error(e.OUT_OF_RANGE, span, value=str(status), what=what, fix=fix)
            status = 200
        elif "status" in self.members or status not in _DONE:
            self.k.note("endpoint.response.status", span)
        return node.type.name, status

    def _status(self) -> int:
        node = self.members.value("response", s.ResponseNode)
        status = node.status.value if node and node.status else 200
        return status if isinstance(status, int) and status in _DONE else 200

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
                fields[name] = p.Field(name, self._colon(path, name), required=True)
            elif name not in fields and not unread:
                fix = f"add path {{ {name}: uuid }}"
                self.k.error(e.PATH_HOLE, hole.span, name=name, word="not declared", fix=fix)
        made = tuple(fields[name] for name in holes if name in fields)
        if path.colons:
            self.scope.variables.setdefault("path", p.RecordType(made))
        return made

    def _colon(self, path: s.Path, name: str) -> p.Type:
        """`/users/:id` is a text; in the oldest endpoints what the column of that name is in the
        path's table."""
        if not self.node.is_oldest:
            return STRING
        info = of_table(self.k, path.text.strip("/").split("/")[0])
        field = info.fields.get(name) if info else None
        return field.type if field and not isinstance(field.type, p.ManyType) else STRING

    def _body(self, method: str) -> p.RecordType | None:
        member = self.members.member("body")
        if member is None:
            return None
        if method in ("GET", "DELETE"):
            what, fix = f"a {method} request has no body", "use query { … } or another method"
            self.k.error(e.CONFLICT, member.name.span, what=what, fix=fix)
        return p.RecordType(self._record("body"))

    def _auth(
        self, roles: tuple[str, ...], told: Annotated
    ) -> Literal["public", "optional", "required"]:
        """Without a word of its own an endpoint wants a user as soon as there can be one."""
        node = self.members.value("auth", s.Ident)
        wanted = self.k.world.has_auth or "require_role" in self.members
        word = node.name if node else told.auth() or ("required" if wanted else "public")
        if word == "none":
            word = "public"
        if node and word not in AUTH:
            self.k.unknown(e.UNKNOWN_WORD, node, AUTH, what="auth")
        elif node and word != "public" and not self.k.world.knows_users:
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


def route_of(endpoint: p.Endpoint) -> str:
    """Method and path with nameless holes: two endpoints with one route collide."""
    parts = ["{}" if part.startswith("{") else part for part in endpoint.path.split("/")]
    return f"{endpoint.method} {'/'.join(parts).rstrip('/') or '/'}"
