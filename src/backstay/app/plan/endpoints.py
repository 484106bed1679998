"""The declared endpoints as frozen plans. No HTTP here: parsed values in, JSON values out."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.plan.actions import ActionPlan, Success
from backstay.app.plan.demands import Demands
from backstay.app.plan.lists import ListPlan
from backstay.app.plan.middleware import demanded, expect_known
from backstay.app.plan.params import Params
from backstay.app.plan.reads import OnePlan
from backstay.core.errors import Fault
from backstay.lang.program import Action, Constant, Endpoint, Expr, ListOf, OneOf, Program, Repeats

PREFIX = "/api/v1"


class EndpointPlan(msgspec.Struct, frozen=True):
    """Everything one route needs. `roles` are any-of, and each of several is wanted; `writes` means
    a write transaction.

    `repeats` says which header makes a write safe to repeat. `shows` is what a GET of the same path
    answers, which If-Match speaks of. `words` replace those of a refusal with that status.
    """

    method: str
    path: str
    auth: Literal["public", "optional", "required"]
    roles: tuple[tuple[str, ...], ...]
    status: int
    params: Params
    query: Params
    headers: Params
    does: ListPlan | OnePlan | ActionPlan
    demands: Demands
    words: Mapping[int, str]
    repeats: Repeats
    shows: OnePlan | None = None

    @property
    def writes(self) -> bool:
        return isinstance(self.does, ActionPlan)


def compile_endpoints(program: Program) -> Sequence[EndpointPlan]:
    """All endpoints of the program. Raises APP004 for what this version cannot compile."""
    expect_known(program)
    plans = [_plan(program, endpoint) for endpoint in program.endpoints]
    shown = {
        _place(endpoint): plan.does
        for endpoint, plan in zip(program.endpoints, plans, strict=True)
        if isinstance(plan.does, OnePlan) and endpoint.method == "GET"
    }
    return tuple(
        msgspec.structs.replace(plan, shows=shown.get(_place(endpoint)))
        for endpoint, plan in zip(program.endpoints, plans, strict=True)
    )


def _plan(program: Program, endpoint: Endpoint) -> EndpointPlan:
    does: ListPlan | OnePlan | ActionPlan
    if endpoint.on_success is not None and not isinstance(endpoint.does, Action):
        where = f"{endpoint.method} {endpoint.path}"
        problem, instead = "on_success follows what is done in do { … }", "leave it out"
        raise Fault(UNFIT, where=where, problem=problem, instead=instead)
    query = Params(program, endpoint.query_fields, "query")
    match endpoint.does:
        case ListOf() as spec:
            does = ListPlan(program, spec, endpoint.query_fields)
        case OneOf() as spec:
            does = OnePlan(program, spec, query)
        case Action() as spec:
            does = ActionPlan(program, spec, endpoint.body, _success(endpoint))
    wanted = demanded(program, endpoint)
    return EndpointPlan(
        method=endpoint.method,
        path=PREFIX + endpoint.path,
        auth=wanted.auth,
        roles=wanted.roles,
        status=endpoint.status,
        params=Params(program, endpoint.path_fields, "path"),
        query=query,
        headers=Params(program, endpoint.header_fields, "header"),
        does=does,
        demands=Demands(program, endpoint.validate),
        words={status: _words(endpoint, status, text) for status, text in endpoint.errors},
        repeats=endpoint.repeats,
    )


def _place(endpoint: Endpoint) -> tuple[str, tuple[object, ...]]:
    """Path and the types of its parameters: where these are the same, so is what they name."""
    return endpoint.path, tuple(field.type for field in endpoint.path_fields)


def _words(endpoint: Endpoint, status: int, text: Expr) -> str:
    if isinstance(text, Constant):
        return str(text.value)
    where = f"error {status} of {endpoint.method} {endpoint.path}"
    problem, instead = "its words are not known before a request comes", "write a plain text"
    raise Fault(UNFIT, where=where, problem=problem, instead=instead)


def _success(endpoint: Endpoint) -> Success | None:
    if endpoint.on_success is None:
        return None
    fields = (*endpoint.path_fields, *endpoint.query_fields)
    return Success(endpoint.on_success, frozenset(field.name for field in fields))
