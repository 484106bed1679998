"""What a program says about its surroundings: configuration and integrations."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import as_expr, headers, outside, rate, secret, settings
from backstay.lang.check.blocks import Members
from backstay.lang.check.endpoints import method_of
from backstay.lang.check.expressions import typed
from backstay.lang.check.retries import any_retry
from backstay.lang.check.surroundings import slips
from backstay.lang.check.types import STRING, resolve
from backstay.lang.check.world import Checker, IntegrationInfo
from backstay.lang.diagnostics import Edit
from backstay.lang.reports import Reports


class Config(msgspec.Struct, frozen=True):
    """`config { … }`; the names are those of `Program`."""

    name: str = "app"
    version: str = "0.0.0"
    auth: p.Auth | None = None
    settings: tuple[tuple[str, p.Settings], ...] = ()


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
    for member in nodes[0][1].block.members:
        slips(k, member.name.name, member.value)
    return Config(
        name=members.text("name") or "app",
        version=members.text("version") or "0.0.0",
        auth=_auth(k, auth) if auth else None,
        settings=_settings(k, nodes[0][1].block, ("name", "version", "description", "auth")),
    )


def _settings(
    k: Checker, block: s.Block, besides: Sequence[str]
) -> tuple[tuple[str, p.Settings], ...]:
    found: list[tuple[str, p.Settings]] = []
    for member in block.members:
        if member.name.name in besides:
            continue
        expr = as_expr(member.value)
        if expr is not None:
            secret(k, member.name.name, expr)
        made = settings(k, member.value)
        if made is not None:
            found.append((member.name.name, made))
    return tuple(found)


def _auth(k: Checker, node: s.Labelled) -> p.Auth:
    members = Members(k, node.block)
    node_secret, url = members.expression("secret"), members.expression("jwks_url")
    value: p.Expr = p.Constant("", STRING)
    if node_secret is not None:
        secret(k, "secret", node_secret)
        value = typed(k, node_secret, outside(), STRING, "'secret'")
    elif url is None:
        example = 'secret: env("JWT_SECRET")'
        members.missing("secret", "auth: jwt", node.label.span, example)
    algorithm = members.value("algorithm", s.Ident)
    return p.Auth(
        value,
        _said(k, members, "issuer"),
        _said(k, members, "audience"),
        typed(k, url, outside(), STRING, "'jwks_url'") if url is not None else None,
        algorithm.name if algorithm else "",
    )


def _said(k: Checker, members: Members, name: str) -> p.Expr:
    node = members.expression(name)
    return typed(k, node, outside(), STRING, f"'{name}'") if node else p.Constant("", STRING)


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
    graphql = members.member("mutation")
    if members.value("query", s.QueryNode) is not None:
        graphql = members.member("query")
    if graphql is not None:
        # GraphQL knows one path and one method.
        k.note("operation.graphql", graphql.name.span)
        method = method or s.Ident(label.span, "POST")
        path = path or s.Path(label.span, "/", ())
    if method is None:
        members.missing("method", "an operation", label.span, "method: POST")
    if path is None:
        members.missing("path", "an operation", label.span, 'path: "/charges"')
    verb = method_of(k, method, "the method of an operation") if method else "GET"
    returns = members.member("returns")
    kind = returns.value if returns else None
    return p.Operation(
        label.name,
        verb,
        path.text if path else "/",
        settings=_settings(k, block, ("method", "path", "description", "returns", "retry")),
        returns=resolve(k, kind) if isinstance(kind, s.TypeName | s.RecordFields) else None,
        retry=any_retry(k, members),
    )


def integration(k: Checker, info: IntegrationInfo) -> p.Integration:
    """The checked integration."""
    k.turn_to(info.reports, info.declaration)
    members = Members(k, info.declaration.block)
    name = info.declaration.name or info.declaration.keyword
    kind = _type_of(k, members)
    base_url = members.expression("base_url")
    url: p.Expr = p.Constant("", STRING)
    if base_url is None:
        members.missing("base_url", "an integration", name.span, 'base_url: env("SERVICE_URL")')
    else:
        url = typed(k, base_url, outside(), STRING, "'base_url'")
        _is_http(k, base_url, url)
        if isinstance(url, p.Constant) and _has_password(str(url.value)):
            k.error(e.LITERAL_SECRET, base_url.span, name="base_url", env="SERVICE_URL")
    return p.Integration(
        name=info.name,
        base_url=url,
        operations=tuple(info.operations.values()),
        token=_token(k, members.member("auth"), info.name),
        type=kind,
        auth=settings(k, _credentials(members)),
        headers=headers(k, members.value("headers", s.RecordExpr)),
        rate_limit=rate(k, _value(members, "rate_limit"), "rate_limit"),
        settings=_settings(k, info.declaration.block, _PLAIN),
        timeout=members.seconds("timeout", 30.0),
        breaker=_breaker(k, members.block("circuit_breaker")),
        retry=any_retry(k, members) or p.Retry(),
    )


_PLAIN = [
    "description",
    "type",
    "base_url",
    "auth",
    "headers",
    "timeout",
    "retry",
    "circuit_breaker",
    "rate_limit",
    "operation",
]


def _value(members: Members, name: str) -> s.Value | None:
    member = members.member(name)
    return member.value if member else None


def _credentials(members: Members) -> s.Value | None:
    """Settings other than a bearer token, which has a place of its own."""
    value = _value(members, "auth")
    match value:
        case s.CallExpr(callee=s.NameExpr(name="bearer"), args=(_,)):
            return None
    return value


TYPES = ("rest", "graphql", "grpc", "webhook")


def _type_of(k: Checker, members: Members) -> str:
    node = members.value("type", s.Ident)
    if node is None or node.name == "rest":
        return "rest"
    if node.name not in TYPES:
        k.unknown(e.UNKNOWN_WORD, node, TYPES, what="the type of an integration")
    else:
        k.note(f"integration.type.{node.name}", node.span)
    return node.name


def _is_http(k: Checker, node: s.Expr, url: p.Expr) -> None:
    """Reports an address of another kind, also where it is what `env()` falls back to."""
    text = url.default if isinstance(url, p.Env) else getattr(url, "value", None)
    if not isinstance(text, str) or text.startswith(("http://", "https://")):
        return
    scheme, found, rest = text.partition("://")
    meant = nearest(scheme, ("https", "http")) if found else _scheme_of(text)
    edit = None
    if meant and isinstance(node, s.Literal_):
        said = f"{meant}://{rest if found else text}"
        edit = Edit(f"write {said}", k.reports.at(node.span), f'"{said}"')
    what = f"the base_url '{text}' is no address of http or https"
    fix = "an address starts with http:// or https://"
    k.error(e.BAD_SETTING, node.span, edit=edit, what=what, fix=fix)


_HOST = re.compile(r"[A-Za-z0-9.-]*[A-Za-z0-9](?::[0-9]+)?(?:/[!-~]*)?")


def _scheme_of(text: str) -> str:
    """What is missing before a host."""
    if not _HOST.fullmatch(text):
        return ""
    return "http" if text.startswith(("localhost", "127.")) else "https"


def _has_password(url: str) -> bool:
    """Whether `https://user:password@host` is written out; what is no address has none."""
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False


def _token(k: Checker, member: s.Member | None, name: str) -> p.Expr | None:
    """The bearer token, in either spelling; other credentials stay settings."""
    match member.value if member else None:
        case None:
            return None
        case s.CallExpr(callee=s.NameExpr(name="bearer"), args=(token,)):
            secret(k, "token", token)
            return typed(k, token, outside(), STRING, "'bearer'")
        case s.Labelled(label=label, block=block):
            return _labelled_token(k, label, Members(k, block), name)
    if member is not None:
        kind = _known_auth(k, member)
        k.note(f"integration.auth.{kind}", member.name.span)
    return None


AUTHS = ("bearer", "basic", "apikey", "api_key", "oauth2", "aws_signature_v4", "hmac")
_NEEDS = {"bearer": ("token",), "apikey": ("header", "value")}


def _labelled_token(k: Checker, label: s.Ident, members: Members, name: str) -> p.Expr | None:
    if label.name not in AUTHS:
        k.unknown(e.UNKNOWN_WORD, label, AUTHS, what="the auth of an integration")
    for needed in _NEEDS.get(label.name, ()):
        if needed not in members and not members.block_node.broken:
            what = f"{label.name} auth in integration '{name}' requires '{needed}'"
            k.error(e.SETTING, label.span, what=what, fix=f"add {needed}: …")
    token = members.expression("token")
    key = members.expression("value")
    if label.name in ("apikey", "api_key") and key is not None:
        secret(k, "api_key", key)
    if label.name == "bearer" and token is not None:
        return typed(k, token, outside(), STRING, "'token'")
    if label.name != "bearer":
        k.note(f"integration.auth.{label.name}", label.span)
    return None


def _known_auth(k: Checker, member: s.Member) -> str:
    """The word for it, "other" where there is none."""
    match member.value:
        case s.CallExpr(callee=s.NameExpr(name=name) as callee) if name not in AUTHS:
            k.unknown(e.UNKNOWN_WORD, callee, AUTHS, what="the auth of an integration")
        case s.CallExpr(callee=s.NameExpr(name="api_key" | "apikey"), args=(key, *rest)):
            # Where the key is read from outside, a text before it is the name of its header.
            if all(isinstance(each, s.Literal_) for each in rest):
                secret(k, "api_key", key)
        case s.CallExpr(callee=s.NameExpr(name="basic"), args=(_, password)):
            secret(k, "password", password)
        case s.NameExpr(name=name) as word if name not in AUTHS:
            k.unknown(e.UNKNOWN_WORD, word, AUTHS, what="the auth of an integration")
    match member.value:
        case s.CallExpr(callee=s.NameExpr(name=name)) | s.NameExpr(name=name):
            return name if name in AUTHS else "other"
    return "other"


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
    given = members.value("threshold", s.RateNode)
    window = rate(k, given, "threshold") if given else None
    for name in ("threshold", "max_concurrent"):
        node = members.expression(name)
        if isinstance(node, s.Literal_) and node.value == 0:
            what = f"circuit_breaker {name} must be positive"
            k.error(e.BAD_SETTING, node.span, what=what, fix="write 1 or more")
            return rule
    probes = members.integer("max_concurrent", rule.probes, 1, 1000)
    return p.BreakerRule(
        threshold=members.integer("threshold", rule.threshold, 1, 1000)
        if not window
        else window.count,
        open_seconds=members.seconds("reset_after", seconds),
        probes=members.integer("half_open_requests", probes, 1, 100),
        window=window.seconds if window else 0.0,
    )
