"""What each block may hold, as a table: the parser reads by it, messages list from it.

`Slot.kind` names how the value is read (see `members.READERS`); `block` is the block behind it;
`many` lets it stand more than once; `labelled` wants a name of its own (`operation charge`).
`REFUSED` are members that the language knows and this version does not run, with what to write
instead.
"""

from collections.abc import Mapping

import msgspec


class Slot(msgspec.Struct, frozen=True):
    """One member of a block."""

    kind: str
    block: str = ""
    many: bool = False
    labelled: bool = False


_EXPR, _TEXT, _WORD, _NAMES = Slot("expr"), Slot("text"), Slot("word"), Slot("names")
_FIELDS, _BODY = Slot("fields"), Slot("body")
_WORK = {"do": _BODY, "call": Slot("call"), "task": Slot("task")}

BLOCKS: Mapping[str, Mapping[str, Slot]] = {
    "config": {"name": _TEXT, "version": _TEXT, "auth": Slot("labelled", "auth")},
    "auth": {"secret": _EXPR, "issuer": _TEXT, "audience": _TEXT},
    "entity": {
        "description": _TEXT,
        "index": Slot("index", many=True),
        "access": Slot("block", "access"),
    },
    "access": {"read": _EXPR, "write": _EXPR, "create": _EXPR, "update": _EXPR, "delete": _EXPR},
    "integration": {
        "description": _TEXT,
        "type": _WORD,
        "base_url": _EXPR,
        "auth": _EXPR,
        "timeout": _EXPR,
        "retry": Slot("retry"),
        "circuit_breaker": Slot("block", "circuit_breaker"),
        "operation": Slot("block", "operation", many=True, labelled=True),
    },
    "circuit_breaker": {
        "threshold": _EXPR,
        "timeout": _EXPR,
        "reset_after": _EXPR,
        "half_open_requests": _EXPR,
    },
    "operation": {"method": _WORD, "path": Slot("path")},
    "endpoint": {
        "description": _TEXT,
        "auth": _WORD,
        "roles": _NAMES,
        "path": _FIELDS,
        "query": _FIELDS,
        "body": _FIELDS,
        "returns": Slot("type"),
        "where": _EXPR,
        "filter": _NAMES,
        "sort": _NAMES,
        "include": _NAMES,
        "page_size": _EXPR,
        "page_limit": _EXPR,
        "do": _BODY,
        "status": _EXPR,
    },
    "workflow": {
        "description": _TEXT,
        "input": _FIELDS,
        "timeout": _EXPR,
        "steps": Slot("block", "steps"),
        "on_fail": _BODY,
    },
    "steps": {},
    "step": _WORK
    | {
        "when": _EXPR,
        "timeout": _EXPR,
        "retry": Slot("retry"),
        "compensate": Slot("block", "compensate"),
    },
    "compensate": _WORK,
    "job": {"description": _TEXT, "schedule": _TEXT, "timezone": _TEXT, "do": _BODY},
}

DECLARATIONS = ("config", "entity", "integration", "endpoint", "workflow", "job")

REFUSED_DECLARATIONS: Mapping[str, str] = {
    "event": "start a workflow, or write a row",
    "on": "start a workflow where the event happens",
    "role": 'name roles in roles: [ … ] and user.has("…")',
    "middleware": "use auth and roles of the endpoint",
    "webhook": "call an integration from a workflow",
    "database": "declare entities; the runtime makes the tables",
    "model": "write it as an entity",
    "collection": "write it as an entity",
    "auth": "write auth: jwt { … } inside config",
    "function": "write the expression where it is used",
    "exec": "use a task for an outside worker",
    "test": "",
    "var": "use let inside do",
    "if": "use if inside do",
    "else": "use if inside do",
    "for": "use for inside do",
    "import": "a folder is one program; no import is needed",
    "type": "write the record where it is used",
    "enum": "write enum(a, b) as the type of the field",
}

_LATER = "leave it out"

REFUSED: Mapping[str, Mapping[str, str]] = {
    "config": {
        "database": "SQLite inside is used",
        "cache": _LATER,
        "cors": _LATER,
        "scheduler": _LATER,
        "description": "write a comment",
    },
    "auth": {"jwks_url": "use secret", "expiry": _LATER, "algorithm": "HS256 is used"},
    "entity": {
        "indexes": "write index: [a, b]",
        "soft_delete": _LATER,
        "permissions": "write access { … }",
    },
    "integration": {
        "headers": _LATER,
        "rate_limit": _LATER,
        "idempotency": "each call carries the step's key already",
        "fallback": "handle it in on_fail of the workflow",
        "default_cache_ttl": _LATER,
        "batching": _LATER,
        "dead_letter": _LATER,
        "signature": _LATER,
    },
    "circuit_breaker": {"max_concurrent": "write half_open_requests"},
    "operation": {
        "query": "arguments that are not in the path are sent as body, or as query of a GET",
        "body": "arguments that are not in the path are the body",
        "headers": _LATER,
        "returns": _LATER,
        "cache": _LATER,
        "variables": _LATER,
        "mutation": _LATER,
        "timeout": "set it on the integration or on the step",
        "retry": "set it on the step",
        "idempotency": "each call carries the step's key already",
    },
    "endpoint": {
        "cache": _LATER,
        "validate": "use min, max and required on the fields of body",
        "error": "use fail in do",
        "on_success": "start a workflow in do",
        "middleware": "use auth and roles",
        "require_role": "write roles: [ … ]",
        "request": "write body { … }",
        "response": "write returns: … or return in do",
        "headers": _LATER,
        "rate_limit": _LATER,
        "timeout": _LATER,
        "idempotency": _LATER,
    },
    "workflow": {
        "trigger": "start it from an endpoint or a job",
        "on_complete": "add a last step",
        "retry": "set it on each step",
        "queue": _LATER,
        "version": "the hash of the program is used",
    },
    "step": {
        "for_each": "walk the list with for inside do",
        "parallel": "write the steps one after the other",
        "check": "use if and fail inside do",
        "action": "use do",
        "activity": "use task",
        "input": "give the arguments in the braces of call or task",
        "if": "write when: …",
        "send": "call an integration",
        "emit": "write a row",
        "as": "use steps.NAME",
        "on_success": "add a step",
        "on_fail": "use compensate, or on_fail of the workflow",
        "template": _LATER,
    },
    "job": {
        "every": "write schedule: with five fields",
        "task": "start a workflow with a task step",
        "steps": "start a workflow in do",
        "action": "use do",
        "queue": _LATER,
        "timeout": _LATER,
        "retry": "a job that failed runs at its next time",
        "on_complete": _LATER,
        "on_fail": _LATER,
    },
}

REFUSED_STEPS = {"parallel": "write the steps one after the other"}

TITLES: Mapping[str, str] = {
    "auth": "auth: jwt",
    "access": "access",
    "circuit_breaker": "circuit_breaker",
    "compensate": "compensate",
    "steps": "steps",
    "step": "a step",
    "config": "config",
}
"""How a message speaks of a block; others are `an entity`, `a workflow`, …"""


def title(block: str) -> str:
    """The block for a sentence: `an entity`, `a job`."""
    article = "an" if block[0] in "aeiou" else "a"
    return TITLES.get(block, f"{article} {block}")
