"""What a program uses that this runtime does not run yet: asked before anything is served.

The language is larger than the runtime. A construct is never parsed and then ignored: what is not
in `RUNS` keeps the program from being served, with a word on what to write instead. Whoever
teaches the runtime a construct moves its name into `RUNS`.
"""

from collections.abc import Iterator, Mapping

import msgspec

from backstay.lang.check.fields import NOTED
from backstay.lang.parser.grammar import BLOCKS, DECLARATIONS
from backstay.lang.parser.statements import STATEMENTS
from backstay.lang.program import Place, Program


class Problem(msgspec.Struct, frozen=True):
    """One construct at one place, as a sentence without its place: `what` is not run yet."""

    construct: str
    what: str
    instead: str
    place: Place

    def __str__(self) -> str:
        where = f"{self.place.file}:{self.place.line}:{self.place.column}"
        return f"{where}: {self.what} is not supported in this version: {self.instead}"


def problems(program: Program) -> list[Problem]:
    """Everything the program uses that would be ignored if it were served, by place."""
    return sorted(_problems(program), key=lambda each: (each.place.file, each.place.line))


def _problems(program: Program) -> Iterator[Problem]:
    for construct, places in program.uses:
        if construct in RUNS:
            continue
        what, instead = _words(construct)
        for place in places:
            yield Problem(construct, what, instead, place)


def refused() -> list[tuple[str, str, str]]:
    """All of the language that keeps a program from being served: the construct, its words, and
    what to write instead."""
    known = {f"{block}.{name}" for block, slots in BLOCKS.items() for name in slots}
    known |= {f"declaration.{name}" for name in DECLARATIONS} | {f"modifier.{n}" for n in NOTED}
    known |= {f"statement.{name}" for name in STATEMENTS} | set(NAMES)
    return [(name, *_words(name)) for name in sorted(known - RUNS)]


def _words(construct: str) -> tuple[str, str]:
    """The construct in a sentence, and what to write instead."""
    block, _, name = construct.partition(".")
    instead = INSTEAD.get(construct, INSTEAD.get(block, "leave it out"))
    if construct in NAMES:
        return NAMES[construct], instead
    if block == "column":
        return f"the function {name}() of a column", instead
    if block in ("declaration", "statement"):
        where = " at the top level" if block == "declaration" else " as a statement"
        return f"'{name}'{where}", instead
    if block in ("modifier", "type"):
        return f"the {block} '{name}'", instead
    return f"'{name}' in {block}", instead


def _members(block: str, names: str) -> set[str]:
    return {f"{block}.{name}" for name in names.split()}


RUNS: frozenset[str] = frozenset(
    # A test is run by `codeai test`; a server does not look at it.
    _members("declaration", "config entity endpoint workflow job integration event on webhook")
    | _members("declaration", "test function")
    | _members("config", "name version description auth cache cors database")
    | _members("auth", "secret issuer audience jwks_url algorithm")
    | _members("provider", "method jwks_url issuer audience")
    | _members("declaration", "auth role middleware")
    | _members("middleware", "type config type.authentication type.authorization")
    | _members("middleware", "type.logging type.rate_limiting")
    | _members("role", "description permissions")
    | _members("entity", "description index indexes access soft_delete")
    | _members("indexes", "index")
    | _members("declaration", "database")
    | _members("database", "model collection")
    | _members("model", "description index")
    | _members("collection", "description index indexes")
    | _members("config", "database_type mongodb_uri mongodb_database")
    | _members("modifier", "auto_update searchable pattern index")
    | _members("access", "read write create update delete")
    | _members("integration", "description type base_url auth timeout retry circuit_breaker")
    | _members("integration", "operation headers rate_limit fallback default_cache_ttl")
    | _members("integration", "type.webhook auth.basic auth.api_key auth.apikey auth.oauth2")
    | _members("integration", "auth.hmac auth.aws_signature_v4 signature idempotency dead_letter")
    | _members("circuit_breaker", "threshold timeout reset_after half_open_requests")
    | _members("circuit_breaker", "max_concurrent")
    | _members("operation", "description method path query body headers timeout retry cache")
    | _members("operation", "fallback returns idempotency")
    | _members("endpoint", "description auth roles path query body returns where filter sort")
    | _members("endpoint", "include page_size page_limit do status on_success cache")
    | _members("endpoint", "headers validate error require_role middleware rate_limit timeout")
    | _members("endpoint", "idempotency request response")
    | {"endpoint.returns.list", "endpoint.include.list"}
    | _members("event", "description schema payload publish_to trigger")
    | _members("webhook", "event url method headers secret retry initial_interval backoff receive")
    | _members("workflow", "description trigger input signals timeout retry steps")
    | _members("workflow", "on_complete on_fail")
    | _members("step", "description do call task action activity send emit query signal")
    | _members("step", "for_each parallel check when if as timeout retry compensate")
    | _members("step", "input template data subject attachment format on_success on_fail on_empty")
    | _members("compensate", "do call task action send emit query activity")
    | _members("job", "description schedule timezone do steps task action timeout retry queue")
    | _members("job", "on_complete on_fail")
    | _members("retry", "max_attempts initial_interval backoff_multiplier max_interval")
    | _members("statement", "let create update delete for if fail start emit return var assign")
    | _members("statement", "call function restore query")
    | _members("expression", "choice modulo index list env function")
    | {"function.random", "type.time"}
    | {"steps.parallel", "schedule.every", "rate"}
    | _members("workflow", "on_fail.action on_complete.action")
    | _members("job", "on_fail.action on_complete.action")
)
"""The constructs this runtime runs."""

NAMES: Mapping[str, str] = {
    "declaration.annotation": "an annotation",
    "declaration.auth": "'auth' at the top level",
    "config.setting": "a setting of config that the runtime does not know",
    "statement.assign": "an assignment",
    "statement.call": "a call as a statement",
    "statement.action": "this action as a statement",
    "statement.query": "a query in do",
    "type.time": "the type 'time'",
    "expression.choice": "a ? b : c",
    "expression.modulo": "the operator %",
    "expression.index": "indexing with [ ]",
    "expression.list": "a list written out",
    "function.random": "random()",
    "expression.env": "env() outside config and integration",
    "expression.function": "a call of a function of the program",
    "steps.parallel": "'parallel'",
    "schedule.every": "'every' as a schedule",
    "compensate.action": "compensate by name",
    "workflow.on_fail.action": "on_fail by name",
    "workflow.on_complete.action": "on_complete by name",
    "job.on_fail.action": "on_fail by name",
    "job.on_complete.action": "on_complete by name",
    "rate": "a number in a stretch of time",
    "integration.type.webhook": "an integration of type webhook",
    "integration.auth.basic": "auth by basic",
    "integration.auth.api_key": "auth by api_key",
    "integration.auth.apikey": "auth by apikey",
    "integration.auth.oauth2": "auth by oauth2",
    "integration.auth.hmac": "auth by hmac",
    "integration.type.graphql": "an integration of type graphql",
    "operation.graphql": "an operation in GraphQL",
    "integration.type.grpc": "an integration of type grpc",
    "integration.auth.aws_signature_v4": "auth by aws_signature_v4",
    "integration.auth.other": "this auth of an integration",
    "index.kind": "an index of this kind",
    "model.name": "a model whose name or table is taken",
    "model.key": "a model with several keys",
    "model.type": "a field of this type",
    "model.modifier": "this modifier of a model's field",
    "model.default": "this default of a model's field",
    "endpoint.request.type": "a request of a type that is not declared",
    "middleware.type.authentication": "a middleware of type authentication",
    "middleware.type.authorization": "a middleware of type authorization",
    "middleware.type.logging": "a middleware of type logging",
    "middleware.type.rate_limiting": "a middleware of type rate_limiting",
    "middleware.type.cors": "a middleware of type cors",
    "middleware.type.compression": "a middleware of type compression",
    "middleware.type.cache": "a middleware of type cache",
    "middleware.type.custom": "a middleware of type custom",
    "endpoint.alone": "an endpoint that does not say what it does",
    "endpoint.response.status": "this status of a response",
    "endpoint.returns.list": "returns: list(…)",
    "endpoint.include.list": "include on a list",
    "column.division": "a division of decimals with a column",
    "column.rest": "% of floats with a column",
    "column.json": "a column of another type as JSON",
    "column.made": "a text, a list or a record that is made of a column",
    "job.queue.other": "a queue of its own name for a job",
    "on.elsewhere": "a handler of what this program does not declare",
}

_GRAPHQL = "call its address with type: rest and POST { query, variables }"

INSTEAD: Mapping[str, str] = {
    "column": "compute it into a let before, or keep it in a field of its own",
    "on": "declare it here, or leave the handler out",
    "declaration.exec": "use a task for an outside worker",
    "declaration.var": "codeai run runs scripts; use let inside do",
    "declaration.if": "codeai run runs scripts; use if inside do",
    "declaration.for": "codeai run runs scripts; use for inside do",
    "model": "write it as an entity",
    "config.scheduler": "give each job its queue, timeout and retry",
    "auth.expiry": "leave it out: a token says itself when it ends",
    "config.setting": "leave it out, or read the environment with env()",
    "job.queue.other": "write critical, default or low",
    "model.name": "give it another name",
    "model.key": "mark one field primary, and the others unique",
    "model.type": "use json, or decimal with its digits: decimal(10, 2)",
    "model.modifier": "leave it out, or write the model as an entity",
    "model.default": "write a plain value of the field's type, or now()",
    "index.kind": "mark the fields searchable to look through texts; places have no index",
    "integration.type.graphql": _GRAPHQL,
    "integration.type.grpc": "put an HTTP gateway in front of it and use type: rest",
    "integration.auth.other": 'write auth: bearer(env("TOKEN"))',
    "endpoint.request.type": "declare the type as a model or an entity, or write body { … }",
    "middleware.type.cors": "write config { cors { origins: […] } }",
    "middleware.type.cache": "write cache: 5m in the endpoint",
    "middleware.type.compression": "let the proxy in front compress",
    "middleware.type.custom": "write it into do, or as a function that do calls",
    "endpoint.alone": "write returns: Entity, or do { … }",
    "endpoint.response.status": "write status: 201 for what was done, fail 404 for what was not",
    "declaration.annotation": "write auth: …, rate_limit: … or nothing",
    "integration.batching": "each call has an idempotency key of its own, which one request for"
    " several cannot carry: walk the list with for_each and parallel: N, or declare an operation"
    " that takes a list",
    "operation.graphql": _GRAPHQL,
    "operation.mutation": _GRAPHQL,
    "operation.variables": _GRAPHQL,
    "statement.action": "use create, update, delete and query, or a step of a workflow",
    "statement.exec": "use a task for an outside worker",
}
"""What to write as long as the runtime does not run the construct; a block stands for all its
members that have no line of their own."""
