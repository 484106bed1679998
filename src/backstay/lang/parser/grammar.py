"""What each block may hold, as a table: the parser reads by it, messages list from it.

`Slot.kind` names how the value is read (see `members.READERS`); `block` is the block behind it;
`many` lets it stand more than once; `labelled` wants a name of its own (`operation charge`).
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
_FIELDS, _BODY, _SETTING, _ACTION = Slot("fields"), Slot("body"), Slot("setting"), Slot("action")
_OPEN = Slot("block", "settings")
_RETRY = Slot("retry", "retry")
_WORK = {
    "do": _BODY,
    "call": Slot("call"),
    "task": Slot("task"),
    "action": _ACTION,
    "send": _ACTION,
    "emit": Slot("emit"),
    "query": Slot("query"),
    "activity": _TEXT,
}

BLOCKS: Mapping[str, Mapping[str, Slot]] = {
    "config": {
        "name": _TEXT,
        "version": Slot("version"),
        "description": _TEXT,
        "auth": Slot("labelled", "auth"),
        "database": _SETTING,
        "cache": _SETTING,
        "cors": _SETTING,
        "scheduler": _SETTING,
        "database_type": _EXPR,
        "mongodb_uri": _EXPR,
        "mongodb_database": _EXPR,
    },
    "settings": {},
    "auth": {
        "secret": _EXPR,
        "issuer": _EXPR,
        "audience": _EXPR,
        "jwks_url": _EXPR,
        "expiry": _EXPR,
        "algorithm": _WORD,
    },
    "database": {
        "model": Slot("block", "model", many=True, labelled=True),
        "collection": Slot("block", "collection", many=True, labelled=True),
    },
    "model": {"description": _TEXT, "index": Slot("index", many=True)},
    "collection": {
        "description": _TEXT,
        "index": Slot("index", many=True),
        "indexes": Slot("block", "indexes"),
    },
    "indexes": {"index": Slot("index", many=True)},
    "provider": {"method": _WORD, "jwks_url": _EXPR, "issuer": _TEXT, "audience": _TEXT},
    "role": {"description": _TEXT, "permissions": _NAMES},
    "middleware": {"type": _WORD, "config": _OPEN},
    "event": {
        "description": _TEXT,
        "schema": Slot("schema"),
        "payload": _FIELDS,
        "publish_to": _EXPR,
        "trigger": Slot("trigger"),
    },
    "webhook": {
        "event": _TEXT,
        "url": _EXPR,
        "receive": _WORD,
        "method": _WORD,
        "headers": Slot("record"),
        "secret": _EXPR,
        "retry": _RETRY,
        "initial_interval": _EXPR,
        "backoff": _EXPR,
    },
    "entity": {
        "description": _TEXT,
        "index": Slot("index", many=True),
        "indexes": Slot("block", "indexes"),
        "soft_delete": Slot("flag"),
        "access": Slot("block", "access"),
    },
    "access": {"read": _EXPR, "write": _EXPR, "create": _EXPR, "update": _EXPR, "delete": _EXPR},
    "integration": {
        "description": _TEXT,
        "type": _WORD,
        "base_url": _EXPR,
        "auth": _SETTING,
        "headers": Slot("record"),
        "timeout": _EXPR,
        "retry": _RETRY,
        "circuit_breaker": Slot("block", "circuit_breaker"),
        "rate_limit": Slot("rate"),
        "idempotency": _SETTING,
        "fallback": _ACTION,
        "default_cache_ttl": _EXPR,
        "batching": _SETTING,
        "dead_letter": _SETTING,
        "signature": _SETTING,
        "operation": Slot("block", "operation", many=True, labelled=True),
    },
    "circuit_breaker": {
        "threshold": Slot("rate"),
        "timeout": _EXPR,
        "reset_after": _EXPR,
        "half_open_requests": _EXPR,
        "max_concurrent": _EXPR,
    },
    "operation": {
        "description": _TEXT,
        "method": _WORD,
        "path": Slot("path"),
        "query": Slot("query"),
        "mutation": _TEXT,
        "body": _SETTING,
        "headers": Slot("record"),
        "variables": _SETTING,
        "returns": Slot("type"),
        "cache": _SETTING,
        "timeout": _EXPR,
        "retry": _RETRY,
        "idempotency": _SETTING,
        "fallback": _ACTION,
    },
    "endpoint": {
        "description": _TEXT,
        "auth": _WORD,
        "roles": _NAMES,
        "require_role": _TEXT,
        "middleware": Slot("used", many=True),
        "path": _FIELDS,
        "query": _FIELDS,
        "headers": _FIELDS,
        "body": _FIELDS,
        "request": Slot("request"),
        "response": Slot("response"),
        "returns": Slot("type"),
        "where": _EXPR,
        "filter": _NAMES,
        "sort": _NAMES,
        "include": _NAMES,
        "page_size": _EXPR,
        "page_limit": _EXPR,
        "cache": _SETTING,
        "rate_limit": Slot("rate"),
        "timeout": _EXPR,
        "idempotency": _SETTING,
        "validate": Slot("checks"),
        "do": _BODY,
        "error": Slot("error", many=True),
        "on_success": _ACTION,
        "status": _EXPR,
    },
    "workflow": {
        "description": _TEXT,
        "trigger": Slot("trigger"),
        "input": _FIELDS,
        "signals": _FIELDS,
        "timeout": _EXPR,
        "retry": _RETRY,
        "steps": Slot("block", "steps"),
        "on_complete": _ACTION,
        "on_fail": _ACTION,
    },
    "steps": {},
    "step": _WORK
    | {
        "description": _TEXT,
        "for_each": _EXPR,
        "check": Slot("check"),
        "when": _EXPR,
        "if": _EXPR,
        "input": Slot("record"),
        "as": _WORD,
        "template": _EXPR,
        "data": _EXPR,
        "subject": _EXPR,
        "attachment": _EXPR,
        "format": _EXPR,
        "on_empty": _ACTION,
        "parallel": _EXPR,
        "signal": _WORD,
        "timeout": _EXPR,
        "retry": _RETRY,
        "compensate": Slot("compensate", "compensate"),
        "on_success": _ACTION,
        "on_fail": _ACTION,
    },
    "compensate": _WORK,
    "job": {
        "description": _TEXT,
        "schedule": Slot("schedule"),
        "timezone": _TEXT,
        "queue": _WORD,
        "timeout": _EXPR,
        "retry": _RETRY,
        "task": Slot("task"),
        "action": _ACTION,
        "do": _BODY,
        "steps": Slot("block", "steps"),
        "on_complete": _ACTION,
        "on_fail": _ACTION,
    },
    "retry": {
        "max_attempts": _EXPR,
        "initial_interval": _EXPR,
        "backoff_multiplier": _EXPR,
        "max_interval": _EXPR,
    },
}

OPEN = frozenset({"config", "settings"})
"""Blocks that take settings of any name; in `config` a name close to a known one is a slip."""

WITH_FIELDS = frozenset({"entity", "model", "collection"})
"""Blocks that hold fields beside their members."""

DECLARATIONS = (
    "config",
    "entity",
    "endpoint",
    "workflow",
    "job",
    "integration",
    "event",
    "function",
    "database",
    "role",
    "auth",
    "middleware",
    "webhook",
    "on",
    "var",
    "if",
    "for",
    "exec",
    "test",
)

DECLARED_AS: Mapping[str, str] = {"auth": "provider"}
"""The block of a declaration where it is not named like the declaration."""

REFUSED_DECLARATIONS: Mapping[str, str] = {
    "model": "write it inside database postgres { … }, or as an entity",
    "collection": "write it inside database mongodb { … }, or as an entity",
    "else": "it follows the closing brace of an if",
    "import": "a folder is one program; no import is needed",
    "type": "write the record where it is used",
    "enum": "write enum(a, b) as the type of the field",
}

REFUSED: Mapping[str, Mapping[str, str]] = {
    "entity": {"permissions": "write access { … }"},
    "workflow": {
        "queue": "leave it out",
        "version": "the hash of the program is used",
    },
    "job": {"every": "write schedule: every 1h"},
}
"""Members that people try and that have another name here."""

TITLES: Mapping[str, str] = {
    "auth": "auth: jwt",
    "access": "access",
    "circuit_breaker": "circuit_breaker",
    "compensate": "compensate",
    "steps": "steps",
    "step": "a step",
    "config": "config",
    "provider": "an auth provider",
    "settings": "settings",
    "indexes": "indexes",
    "retry": "retry",
}
"""How a message speaks of a block; others are `an entity`, `a workflow`, …"""


def title(block: str) -> str:
    """The block for a sentence: `an entity`, `a job`."""
    article = "an" if block[0] in "aeiou" else "a"
    return TITLES.get(block, f"{article} {block}")
