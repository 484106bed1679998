"""`idempotency` of an endpoint: whether a write wants a key, in which header, and how long the
answer is kept for whoever repeats it.

`idempotency: required`, `idempotency: header("X-Request-Key")`, `idempotency: 2h`, or all together:
`idempotency: { required: true, header: "X-Request-Key", keep: 2h }`.
"""

import re

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import settings
from backstay.lang.check.types import BOOL, DURATION, STRING
from backstay.lang.check.world import Checker

LONGEST = 24 * 3600.0
"""Seconds for which a runtime keeps answers at most, and does when nothing is said."""
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OWN = ("authorization", "content-type", "if-match", "x-api-key", "x-request-id", "cookie", "host")
_MEMBERS = {"required": BOOL, "header": STRING, "keep": DURATION}
_FIX = 'write idempotency: required, or { required: true, header: "X-Key", keep: 2h }'


def repeats(k: Checker, member: s.Member | None, does: object) -> p.Repeats:
    """What the member says. Reports what it cannot mean."""
    if member is None:
        return p.Repeats()
    if not isinstance(does, p.Action):
        what, fix = "an endpoint that only reads may be repeated as it is", "leave idempotency out"
        k.error(e.CONFLICT, member.name.span, what=what, fix=fix)
        return p.Repeats()
    said = settings(k, member.value)
    found: dict[str, object] = {}
    for name, value in _named(said) if said else ():
        kind = _MEMBERS.get(name)
        if kind is None or not isinstance(value, p.Constant) or value.type != kind:
            k.error(e.SETTING, member.value.span, what=_wrong(name, kind), fix=_FIX)
        else:
            found[name] = value.value
    made = p.Repeats(
        required=found.get("required") is True,
        header=str(found.get("header", p.Repeats().header)).lower(),
        keep=float(str(found.get("keep", LONGEST))),
    )
    _fits(k, made, member)
    return made


def _named(said: p.Settings) -> list[tuple[str, p.Expr]]:
    """The short forms by the names of the long one."""
    values: list[tuple[str, p.Expr]] = []
    if said.label in ("required", "optional"):
        values.append(("required", p.Constant(said.label == "required", BOOL)))
    elif said.label not in ("", "header"):
        values.append((said.label, p.Constant(None, STRING)))
    for name, value in said.values:
        short = "header" if name == "0" and said.label == "header" else "keep"
        values.append((short if name in ("", "0") else name, value))
    return values


def _wrong(name: str, kind: p.ScalarType | None) -> str:
    if kind is None:
        return f"'{name}' is nothing that idempotency knows"
    wanted = {"bool": "true or false", "string": "a text", "duration": "a time like 2h"}
    return f"'{name}' of idempotency is {wanted[kind.name]}"


def _fits(k: Checker, made: p.Repeats, member: s.Member) -> None:
    span = member.value.span
    if not 0 < made.keep <= LONGEST:
        fix, value = "answers are kept for at most 24h", f"{made.keep:g} s"
        k.error(e.OUT_OF_RANGE, span, value=value, what="idempotency", fix=fix)
    if not _HEADER.fullmatch(made.header) or made.header in _OWN:
        what = f"'{made.header}' cannot be the header of a key"
        k.error(e.SETTING, span, what=what, fix="name a header that means nothing else")
