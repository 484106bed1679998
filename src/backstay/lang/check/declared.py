"""Roles, providers, middleware."""

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import outside, settings
from backstay.lang.check.blocks import Members
from backstay.lang.check.events import named
from backstay.lang.check.expressions import typed
from backstay.lang.check.types import STRING
from backstay.lang.check.world import Checker
from backstay.lang.names import suggestion

# --- who may -----------------------------------------------------------------------------------


def role(k: Checker, node: s.Declaration) -> p.Role:
    """`role NAME { permissions: [ … ] }`."""
    members = Members(k, node.block)
    name = node.name.name if node.name else ""
    for permission in members.names("permissions"):
        if not permission.name:
            fix = 'write it like "articles:read"'
            k.error(
                e.BAD_SETTING, permission.span, what=f"empty permission in role '{name}'", fix=fix
            )
    return p.Role(name, tuple(each.name for each in members.names("permissions")))


_METHODS = ("jwt", "oauth2", "apikey", "basic")


def provider(k: Checker, node: s.Declaration) -> p.Provider:
    """`auth NAME { method … }`."""
    members = Members(k, node.block)
    name = node.name or node.keyword
    method = members.value("method", s.Ident)
    url = members.expression("jwks_url")
    if method is None:
        members.missing("method", "an auth provider", name.span, "method: jwt")
    elif method.name not in _METHODS:
        k.unknown(e.UNKNOWN_WORD, method, _METHODS, what="the method of an auth provider")
    value = typed(k, url, outside(), STRING, "'jwks_url'") if url is not None else None
    if isinstance(value, p.Constant) and value.value == "":
        fix = 'write jwks_url: "https://…"'
        k.error(
            e.SETTING,
            url.span if url else name.span,
            what="jwks_url is required in auth provider",
            fix=fix,
        )
    word = method.name if method else ""
    issuer, audience = members.text("issuer"), members.text("audience")
    return p.Provider(name.name, word, value, issuer, audience)


MIDDLEWARE = (
    "authentication",
    "authorization",
    "rate_limiting",
    "logging",
    "cors",
    "compression",
    "cache",
    "custom",
)
_STRATEGIES = ("fixed_window", "sliding_window", "token_bucket", "leaky_bucket")


def middleware(k: Checker, node: s.Declaration) -> p.Middleware:
    """`middleware NAME { type T, config { … } }`."""
    members = Members(k, node.block)
    name = node.name or node.keyword
    kind = members.value("type", s.Ident)
    if kind is None:
        members.missing("type", "a middleware", name.span, "type: logging")
    elif kind.name not in MIDDLEWARE:
        known = ", ".join(MIDDLEWARE)
        what = f"unknown middleware type '{kind.name}' in middleware '{name.name}'"
        what = f"{what}; valid types: {known}"
        edit = suggestion(kind.name, MIDDLEWARE, k.reports.at(kind.span))
        k.error(
            e.BAD_SETTING,
            kind.span,
            edit=edit,
            expected=MIDDLEWARE,
            what=what,
            fix=f"write one of {known}",
        )
    block = members.block("config")
    if kind is not None:
        k.note(f"middleware.type.{kind.name}", kind.span)
        _configured(k, name, kind.name, Members(k, block) if block else None)
    config = settings(k, block) or p.Settings("", ())
    return p.Middleware(name.name, kind.name if kind else "", config)


def _configured(k: Checker, name: s.Ident, kind: str, members: Members | None) -> None:
    def needs(key: str) -> s.Member | None:
        member = members.member(key) if members else None
        if member is None and not (members and members.block_node.broken):
            what = f"{kind} middleware '{name.name}' requires '{key}' in config"
            k.error(e.SETTING, name.span, what=what, fix=f"add config {{ {key}: … }}")
        return member

    if kind == "authentication":
        member = needs("provider")
        word = _word(member)
        if word is not None:
            k.use("auth", word.name)
            what = f"authentication middleware '{name.name}' references unknown auth provider"
            what = f"{what} '{word.name}'"
            named(k, "auth", word, what)
    elif kind == "authorization":
        word = _word(members.member("role") if members else None)
        if word is not None:
            k.use("role", word.name)
            what = f"authorization middleware '{name.name}' references unknown role '{word.name}'"
            named(k, "role", word, what)
    elif kind == "rate_limiting":
        needs("requests")
        needs("window")
        word = _word(members.member("strategy") if members else None)
        if word is not None and word.name not in _STRATEGIES:
            known = ", ".join(_STRATEGIES)
            what = f"unknown rate limiting strategy '{word.name}'; valid strategies: {known}"
            k.error(e.BAD_SETTING, word.span, what=what, fix=f"write one of {known}")


def _word(member: s.Member | None) -> s.Ident | None:
    match member.value if member else None:
        case s.NameExpr(span=span, name=name):
            return s.Ident(span, name)
        case s.Literal_(span=span, literal="string", value=str(text)):
            return s.Ident(span, text)
    return None
