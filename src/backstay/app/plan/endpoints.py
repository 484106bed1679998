"""The declared endpoints as frozen plans. No HTTP here: parsed values in, JSON values out."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.plan.actions import ActionPlan, Success
from backstay.app.plan.lists import ListPlan
from backstay.app.plan.params import Params
from backstay.app.plan.reads import OnePlan
from backstay.core.errors import Fault
from backstay.lang.program import Action, Endpoint, ListOf, OneOf, Program

PREFIX = "/api/v1"


class EndpointPlan(msgspec.Struct, frozen=True):
    """Everything one route needs. `roles` are any-of; `writes` means a write transaction."""

    method: str
    path: str
    auth: Literal["public", "optional", "required"]
    roles: tuple[str, ...]
    status: int
    params: Params
    query: Params
    does: ListPlan | OnePlan | ActionPlan

    @property
    def writes(self) -> bool:
        return isinstance(self.does, ActionPlan)


def compile_endpoints(program: Program) -> Sequence[EndpointPlan]:
    """All endpoints of the program. Raises APP004 for what this version cannot compile."""
    return tuple(_plan(program, endpoint) for endpoint in program.endpoints)


def _plan(program: Program, endpoint: Endpoint) -> EndpointPlan:
    does: ListPlan | OnePlan | ActionPlan
    if endpoint.on_success is not None and not isinstance(endpoint.does, Action):
        where = f"{endpoint.method} {endpoint.path}"
        problem, instead = "on_success follows what is done in do { … }", "leave it out"
        raise Fault(UNFIT, where=where, problem=problem, instead=instead)
    match endpoint.does:
        case ListOf() as spec:
            does = ListPlan(program, spec, endpoint.query_fields)
        case OneOf() as spec:
            does = OnePlan(program, spec)
        case Action() as spec:
            does = ActionPlan(program, spec, endpoint.body, _success(endpoint))
    return EndpointPlan(
        method=endpoint.method,
        path=PREFIX + endpoint.path,
        auth=endpoint.auth,
        roles=endpoint.roles,
        status=endpoint.status,
        params=Params(program, endpoint.path_fields, "path"),
        query=Params(program, endpoint.query_fields, "query"),
        does=does,
    )


def _success(endpoint: Endpoint) -> Success | None:
    if endpoint.on_success is None:
        return None
    fields = (*endpoint.path_fields, *endpoint.query_fields)
    return Success(endpoint.on_success, frozenset(field.name for field in fields))
