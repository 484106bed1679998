"""What a program says about its surroundings: configuration and integrations."""

from collections.abc import Sequence

import msgspec

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.endpoints import method_of
from backstay.lang.check.expressions import typed
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import STRING
from backstay.lang.check.workflows import retry_of
from backstay.lang.check.world import Checker, IntegrationInfo
from backstay.lang.reports import Reports


class Config(msgspec.Struct, frozen=True):
    """`config { … }`; the names are those of `Program`."""

    name: str = "app"
    version: str = "0.0.0"
    auth: p.Auth | None = None


def _outside() -> Scope:
    scope = Scope()
    scope.env = True
    return scope


def config(k: Checker, nodes: Sequence[tuple[Reports, s.Declaration]]) -> Config:
    """The one config of a program."""
    for reports, node in nodes[1:]:
        k.turn_to(reports, node)
        k.error(e.DUPLICATE_DECLARATION, node.keyword.span, name="config")
    if not nodes:
        return Config()
    k.turn_to(*nodes[0])
    members = Members(k, nodes[0][1].block)
    auth = members.value("auth", s.Labelled)
    # An auth that could not be read is not an auth that was not wanted.
    k.world.has_auth = auth is not None or nodes[0][1].block.broken
    return Config(
        name=members.text("name") or "app",
        version=members.text("version") or "0.0.0",
        auth=_auth(k, auth) if auth else None,
    )


def _auth(k: Checker, node: s.Labelled) -> p.Auth:
    members = Members(k, node.block)
    secret = members.expression("secret")
    value: p.Expr = p.Constant("", STRING)
    if secret is None:
        example = 'secret: env("JWT_SECRET")'
        members.missing("secret", "auth: jwt", node.label.span, example)
    else:
        value = typed(k, secret, _outside(), STRING, "'secret'")
    return p.Auth(value, members.text("issuer"), members.text("audience"))


def declare_operations(k: Checker, info: IntegrationInfo) -> None:
    """Operations by name, before any `call` is looked at."""
    k.turn_to(info.reports, info.declaration)
    for member in info.declaration.block.members:
        if member.name.name != "operation" or not isinstance(member.value, s.Block):
            continue
        label = member.label or member.name
        if label.name in info.operations:
            k.error(e.DUPLICATE_DECLARATION, label.span, name=label.name)
        info.operations[label.name] = _operation(k, label, member.value)


def _operation(k: Checker, label: s.Ident, block: s.Block) -> p.Operation:
    members = Members(k, block)
    method, path = members.value("method", s.Ident), members.value("path", s.Path)
    if method is None:
        members.missing("method", "an operation", label.span, "method: POST")
    if path is None:
        members.missing("path", "an operation", label.span, 'path: "/charges"')
    verb = method_of(k, method, "the method of an operation") if method else "GET"
    return p.Operation(label.name, verb, path.text if path else "/")


def integration(k: Checker, info: IntegrationInfo) -> p.Integration:
    """The checked integration."""
    k.turn_to(info.reports, info.declaration)
    members = Members(k, info.declaration.block)
    name = info.declaration.name or info.declaration.keyword
    _type_is_rest(k, members)
    base_url = members.expression("base_url")
    url: p.Expr = p.Constant("", STRING)
    if base_url is None:
        members.missing("base_url", "an integration", name.span, 'base_url: env("SERVICE_URL")')
    else:
        url = typed(k, base_url, _outside(), STRING, "'base_url'")
        _is_http(k, base_url, url)
    return p.Integration(
        name=info.name,
        base_url=url,
        operations=tuple(info.operations.values()),
        token=_token(k, members.expression("auth")),
        timeout=members.seconds("timeout", 30.0),
        breaker=_breaker(k, members.block("circuit_breaker")),
        retry=retry_of(k, members.value("retry", s.RetryNode)),
    )


def _type_is_rest(k: Checker, members: Members) -> None:
    node = members.value("type", s.Ident)
    if node is None or node.name == "rest":
        return
    if node.name in ("graphql", "grpc", "webhook"):
        what, instead = f"an integration of type {node.name}", "use type: rest"
        k.error(e.UNSUPPORTED, node.span, what=what, instead=instead)
        return
    k.unknown(e.UNKNOWN_WORD, node, ("rest",), what="the type of an integration")


def _is_http(k: Checker, node: s.Expr, url: p.Expr) -> None:
    if (
        url.type == STRING
        and isinstance(url, p.Constant)
        and not str(url.value).startswith(("http://", "https://"))
    ):
        k.error(
            e.OUT_OF_RANGE,
            node.span,
            value=f'"{url.value}"',
            what="'base_url'",
            fix="an address starts with http:// or https://",
        )


def _token(k: Checker, node: s.Expr | None) -> p.Expr | None:
    match node:
        case None:
            return None
        case s.CallExpr(callee=s.NameExpr(name="bearer"), args=(token,)):
            return typed(k, token, _outside(), STRING, "'bearer'")
    what, instead = "this auth of an integration", 'write auth: bearer(env("TOKEN"))'
    k.error(e.UNSUPPORTED, node.span, what=what, instead=instead)
    return None


def _breaker(k: Checker, block: s.Block | None) -> p.BreakerRule:
    rule = p.BreakerRule()
    if block is None:
        return rule
    members = Members(k, block)
    both = members.member("timeout") if "reset_after" in members else None
    if both is not None:
        what, fix = "'timeout' and 'reset_after' mean the same here", "keep reset_after"
        k.error(e.CONFLICT, both.name.span, what=what, fix=fix)
    seconds = members.seconds("timeout", rule.open_seconds)
    return p.BreakerRule(
        threshold=members.integer("threshold", rule.threshold, 1, 1000),
        open_seconds=members.seconds("reset_after", seconds),
        probes=members.integer("half_open_requests", rule.probes, 1, 100),
    )
