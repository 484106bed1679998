"""What a program uses that this runtime does not run yet: asked before anything is served.

The language is larger than the runtime. A construct is never parsed and then ignored: what is not
in `RUNS` keeps the program from being served, with a word on what to write instead. Whoever
teaches the runtime a construct moves its name into `RUNS`.
"""

from collections.abc import Iterator, Mapping

import msgspec

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


def _words(construct: str) -> tuple[str, str]:
    """The construct in a sentence, and what to write instead."""
    block, _, name = construct.partition(".")
    instead = INSTEAD.get(construct, INSTEAD.get(block, "leave it out"))
    if construct in NAMES:
        return NAMES[construct], instead
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
    _members("declaration", "config entity endpoint workflow job integration test")
    | _members("config", "name version description auth")
    | _members("auth", "secret issuer audience")
    | _members("entity", "description index access")
    | _members("access", "read write create update delete")
    | _members("integration", "description type base_url auth timeout retry circuit_breaker")
    | _members("integration", "operation")
    | _members("circuit_breaker", "threshold timeout reset_after half_open_requests")
    | _members("operation", "description method path")
    | _members("endpoint", "description auth roles path query body returns where filter sort")
    | _members("endpoint", "include page_size page_limit do status")
    | _members("workflow", "description input timeout steps on_fail")
    | _members("step", "description do call task when timeout retry compensate")
    | _members("compensate", "do call task")
    | _members("job", "description schedule timezone do")
    | _members("statement", "let create update delete for if fail start return")
)
"""The constructs this runtime runs."""

NAMES: Mapping[str, str] = {
    "declaration.annotation": "an annotation",
    "declaration.auth": "'auth' at the top level",
    "config.setting": "a setting of config that the runtime does not know",
    "statement.assign": "an assignment",
    "statement.call": "a call as a statement",
    "expression.choice": "a ? b : c",
    "expression.modulo": "the operator %",
    "expression.index": "indexing with [ ]",
    "expression.list": "a list written out",
    "function.random": "random()",
    "expression.env": "env() outside config and integration",
    "expression.function": "a call of a function of the program",
    "steps.parallel": "'parallel'",
    "schedule.every": "'every' as a schedule",
    "rate": "a number in a stretch of time",
    "compensate.action": "compensate by name",
    "integration.type.other": "a type of integration other than rest",
    "integration.auth.other": "this auth of an integration",
    "workflow.on_fail.action": "on_fail by name",
    "index.kind": "an index of this kind",
    "auth.other": "auth by anything but jwt",
    "endpoint.returns.record": "a value other than rows after returns",
    "endpoint.returns.list": "returns: list(…)",
    "endpoint.include.list": "include on a list",
    "on.elsewhere": "a handler of what this program does not declare",
}

INSTEAD: Mapping[str, str] = {
    "declaration.event": "start a workflow, or write a row",
    "endpoint.returns.list": "write returns: paginated(Entity)",
    "endpoint.include.list": "read one row with include, or list the others",
    "on": "declare it here, or leave the handler out",
    "declaration.on": "start a workflow where the event happens",
    "declaration.role": 'name roles in roles: [ … ] and user.has("…")',
    "declaration.middleware": "use auth and roles of the endpoint",
    "declaration.webhook": "call an integration from a workflow",
    "declaration.database": "declare entities; the runtime makes the tables",
    "declaration.auth": "write auth: jwt { … } inside config",
    "declaration.function": "write the expression where it is used",
    "declaration.exec": "use a task for an outside worker",
    "declaration.var": "codeai run runs scripts; use let inside do",
    "declaration.if": "codeai run runs scripts; use if inside do",
    "declaration.for": "codeai run runs scripts; use for inside do",
    "declaration.annotation": "leave it out",
    "event": "leave the event out",
    "webhook": "leave the webhook out",
    "role": "leave the role out",
    "middleware": "leave the middleware out",
    "provider": "write auth: jwt { … } inside config",
    "database": "declare entities; the runtime makes the tables",
    "model": "write it as an entity",
    "collection": "write it as an entity",
    "config.database": "SQLite inside is used",
    "config.database_type": "SQLite inside is used",
    "config.setting": "leave it out, or read the environment with env()",
    "auth.jwks_url": "use secret",
    "auth.algorithm": "HS256 is used",
    "entity.soft_delete": "keep a status",
    "entity.indexes": "write index: [a, b]",
    "modifier.auto_update": "set the field in update",
    "modifier.searchable": "add it to filter",
    "modifier.pattern": "check it in do",
    "modifier.index": "write index: [name] in the entity",
    "integration.idempotency": "each call carries the step's key already",
    "integration.fallback": "handle it in on_fail of the workflow",
    "integration.type.other": "use type: rest",
    "integration.auth.other": 'write auth: bearer(env("TOKEN"))',
    "circuit_breaker.max_concurrent": "write half_open_requests",
    "operation.query": "arguments that are not in the path are the query of a GET",
    "operation.body": "arguments that are not in the path are the body",
    "operation.timeout": "set it on the integration or on the step",
    "operation.retry": "set it on the step",
    "operation.idempotency": "each call carries the step's key already",
    "endpoint.validate": "use min, max and required on the fields of body",
    "endpoint.error": "use fail in do",
    "endpoint.on_success": "start a workflow in do",
    "endpoint.middleware": "use auth and roles",
    "endpoint.require_role": "write roles: [ … ]",
    "endpoint.request": "write body { … }",
    "endpoint.response": "write returns: … or return in do",
    "endpoint.returns.record": "return it inside do",
    "workflow.trigger": "start it from an endpoint or a job",
    "workflow.on_complete": "add a last step",
    "workflow.on_fail.action": "write on_fail { … } with statements",
    "workflow.retry": "set it on each step",
    "step.for_each": "walk the list with for inside do",
    "step.check": "use if and fail inside do",
    "step.action": "use do",
    "step.activity": "use task",
    "step.input": "give the arguments in the braces of call or task",
    "step.if": "write when: …",
    "step.send": "call an integration",
    "step.emit": "write a row",
    "step.as": "use steps.NAME",
    "step.on_success": "add a step",
    "step.on_fail": "use compensate, or on_fail of the workflow",
    "steps.parallel": "write the steps one after the other",
    "compensate.action": "write compensate { do { … } } or compensate { call: … }",
    "schedule.every": 'write five fields, such as schedule: "0 * * * *"',
    "rate": "write the number alone",
    "retry": "write retry: 4 times with exponential_backoff(200ms, 2s)",
    "job.task": "start a workflow with a task step",
    "job.steps": "start a workflow in do",
    "job.action": "use do",
    "job.retry": "a job that failed runs at its next time",
    "statement.var": "use let",
    "statement.assign": "give a value a name with let",
    "statement.call": "give a value a name with let",
    "statement.emit": "write a row, or start a workflow",
    "statement.exec": "use a task for an outside worker",
    "statement.function": "write the expression where it is used",
    "expression.choice": "use if and else in a do block",
    "expression.modulo": "use * and /",
    "expression.index": "walk the list",
    "expression.list": "use it after in, as in status in [a, b]",
    "function.random": "use uuid()",
    "expression.env": "put the value into a row",
    "expression.function": "write the expression where it is used",
}
"""What to write as long as the runtime does not run the construct; a block stands for all its
members that have no line of their own."""
