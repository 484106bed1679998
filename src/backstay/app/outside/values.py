"""Settings of an integration as plain values: texts, and what stands in the environment."""

import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from backstay.app.errors import UNFIT
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.redact import redactor
from backstay.lang.program import Constant, Env, Expr, Integration, Operation, Record, Settings

KEY_HEADER = "Idempotency-Key"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
Environment = Mapping[str, str | None]


def text_of(expr: Expr, env: Environment) -> str:
    """A text, or the value of `env()`; "" for none."""
    if isinstance(expr, Env):
        return env.get(expr.name) or expr.default or ""
    return str(expr.value) if isinstance(expr, Constant) and expr.value is not None else ""


def is_text(expr: Expr) -> bool:
    return isinstance(expr, Constant | Env)


def headers_of(
    declared: Integration, operation: Operation | None, env: Environment
) -> dict[str, str]:
    """Those of the integration, and over them those of the operation."""
    given = list(declared.headers)
    settings = dict(operation.settings).get("headers") if operation is not None else None
    record = dict(settings.values).get("") if settings is not None else None
    if isinstance(record, Record):
        given += record.fields
    for name, value in given:
        if not is_text(value):
            where = f"integration {declared.name}: header {name}"
            problem, instead = "it is no text", 'write a text or env("NAME")'
            raise Fault(UNFIT, where=where, problem=problem, instead=instead)
    return {name: text_of(value, env) for name, value in given}


def key_header(declared: Integration | None, operation: Operation) -> str:
    """The header that the idempotency key of a call stands in: `idempotency: header("X-Key")` of
    the operation, else of the integration. Raises APP005."""
    of_all = dict(declared.settings).get("idempotency") if declared is not None else None
    settings = dict(operation.settings).get("idempotency", of_all)
    if settings is None:
        return KEY_HEADER
    name = dict(settings.values).get("0")
    if settings.label != "header" or not isinstance(name, Constant) or not _is_name(name.value):
        where = f"idempotency of {operation.name}"
        problem = "it does not name a header; the key of a call is the step's own"
        raise Fault(UNFIT, where=where, problem=problem, instead='write header("X-Request-Id")')
    return str(name.value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def seconds_of(settings: Settings | None, where: str) -> float | None:
    """`5s`. Raises APP005 for what is no time."""
    if settings is None:
        return None
    value = dict(settings.values).get("")
    if isinstance(value, Constant) and isinstance(value.value, int | float) and value.value > 0:
        return float(value.value)
    raise Fault(UNFIT, where=where, problem="it is no time", instead="write a time such as 5s")


def egress_of(base: Expr, env: Environment, allow: tuple[str, ...]) -> EgressRules:
    """What may be connected to: an address that the operator set in the environment may be a near
    one, one that stands in the program has to be public."""
    near = isinstance(base, Env) and env.get(base.name) not in (None, base.default)
    return EgressRules((*allow, "loopback", "private") if near else allow)


def keep_secret(base: str, *secrets: str) -> None:
    """Credentials of an integration are known to whatever hides secrets."""
    known = redactor()
    for secret in secrets:
        known.learn(secret)
    with suppress(ValueError):
        parts = urlsplit(base)
        if parts.password:
            known.learn(unquote(parts.password))
            # As Basic authentication sends it: the pair, encoded as one.
            known.learn(unquote(f"{parts.username}:{parts.password}"))
