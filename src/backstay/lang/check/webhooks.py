"""Webhooks: sent when an event happens, or received and become an event."""

from collections.abc import Mapping
from typing import Literal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import headers, outside, secret
from backstay.lang.check.blocks import Members, duration_of
from backstay.lang.check.expressions import typed
from backstay.lang.check.retries import positive_backoff, retry_of, retry_rule
from backstay.lang.check.types import STRING
from backstay.lang.check.world import Checker


def webhook(k: Checker, node: s.Declaration) -> p.Webhook | p.Incoming:
    """`webhook NAME { event, url, method, headers, retry }`, or `{ event, receive, secret }`."""
    members = Members(k, node.block)
    name = node.name or node.keyword
    event_name, url = members.value("event", s.Literal_), members.expression("url")
    receive = members.value("receive", s.Ident)
    if receive is not None:
        return _incoming(k, members, name, receive)
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


_SCHEMES: Mapping[str, Literal["backstay", "github", "standard", "stripe"]] = {
    "backstay": "backstay",
    "github": "github",
    "standard": "standard",
    "stripe": "stripe",
}
"""Who signs what is received, by the words of `receive`."""

_OF_SENDING = ("url", "method", "headers", "retry", "initial_interval", "backoff")


def _incoming(k: Checker, members: Members, name: s.Ident, receive: s.Ident) -> p.Incoming:
    """`receive: stripe`: the other side calls us."""
    told = members.value("event", s.Literal_)
    if told is None or not told.value:
        _requires(k, members, name, f"webhook '{name.name}' requires an event name", "event: …")
    else:
        k.event(s.Ident(told.span, str(told.value)))
    value = _webhook_secret(k, members)
    if value is None:
        what = f"webhook '{name.name}' requires a secret: anybody could call it"
        _requires(k, members, name, what, 'secret: env("…")')
    for other in _OF_SENDING:
        member = members.member(other)
        if member is not None:
            what = f"'{other}' belongs to a webhook that is sent, not to one that is received"
            k.error(e.CONFLICT, member.name.span, what=what, fix=f"leave {other} out")
    scheme_of = _SCHEMES.get(receive.name)
    if scheme_of is None:
        k.unknown(e.UNKNOWN_WORD, receive, _SCHEMES, what="who signs a webhook")
    return p.Incoming(
        name.name,
        str(told.value) if told else "",
        scheme_of or "backstay",
        value or p.Constant("", STRING),
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
