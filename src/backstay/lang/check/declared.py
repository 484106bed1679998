"""Roles, providers, middleware, webhooks."""

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import headers, outside, secret, settings
from backstay.lang.check.blocks import Members, duration_of
from backstay.lang.check.events import named
from backstay.lang.check.expressions import typed
from backstay.lang.check.retries import positive_backoff, retry_of, retry_rule
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


# --- webhooks ----------------------------------------------------------------------------------


def webhook(k: Checker, node: s.Declaration) -> p.Webhook:
    """`webhook NAME { event, url, method, headers, retry }`."""
    members = Members(k, node.block)
    name = node.name or node.keyword
    event_name, url = members.value("event", s.Literal_), members.expression("url")
    if event_name is None or not event_name.value:
        _requires(k, members, name, f"webhook '{name.name}' requires an event name", "event: …")
    else:
        k.event(s.Ident(event_name.span, str(event_name.value)))
    value: p.Expr = p.Constant("", STRING)
    if url is None:
        _requires(k, members, name, f"webhook '{name.name}' requires a url", "url: …")
    else:
        value = typed(k, url, outside(), STRING, "'url'")
        scheme(k, url, value, f"url in webhook '{name.name}'")
    method = members.value("method", s.Ident)
    if method is not None and method.name not in ("POST", "PUT"):
        k.unknown(e.UNKNOWN_WORD, method, ("POST", "PUT"), what="the method of a webhook")
    return p.Webhook(
        name=name.name,
        event=str(event_name.value) if event_name else "",
        url=value,
        method=method.name if method else "POST",
        headers=headers(k, members.value("headers", s.RecordExpr)),
        retry=_webhook_retry(k, members),
        secret=_webhook_secret(k, members),
    )


def _webhook_secret(k: Checker, members: Members) -> p.Expr | None:
    node = members.expression("secret")
    if node is None:
        return None
    secret(k, "secret", node)
    return typed(k, node, outside(), STRING, "'secret'")


def _requires(k: Checker, members: Members, name: s.Ident, what: str, fix: str) -> None:
    if not members.block_node.broken:
        k.error(e.SETTING, name.span, what=what, fix=f"add {fix}")


def scheme(k: Checker, node: s.Expr, value: p.Expr, what: str) -> None:
    """An address that is written out starts with its scheme."""
    if isinstance(value, p.Constant) and not str(value.value).startswith(("http://", "https://")):
        said = f"{what} should use https:// or http:// scheme"
        fix = "an address starts with http:// or https://"
        k.error(e.BAD_SETTING, node.span, what=said, fix=fix)


def _webhook_retry(k: Checker, members: Members) -> p.Retry:
    block = members.block("retry")
    if block is not None:
        return retry_rule(k, block)
    node = members.value("retry", s.RetryNode)
    if node is None:
        return p.WEBHOOK_RETRY
    if node.times.value == 0:
        what = "retry max_attempts must be positive"
        k.error(e.BAD_SETTING, node.times.span, what=what, fix="write 1 or more")
        return p.Retry()
    made = retry_of(k, node)
    backoff = members.expression("backoff")
    positive_backoff(k, backoff)
    initial = duration_of(members.expression("initial_interval"))
    return p.Retry(made.times, made.backoff, initial or made.initial, made.cap)
