"""The HTTP face of a served program, under /api/v1: its endpoints and those of the runtime."""

from collections.abc import Sequence

from backstay.app.errors import BAD_KEY
from backstay.app.plan.actions import ActionPlan
from backstay.app.plan.endpoints import PREFIX, EndpointPlan
from backstay.app.plan.lists import ListPlan
from backstay.app.plan.reads import OnePlan
from backstay.app.seeding import Seeder, counts
from backstay.app.service import Ask, Runtime, act, admit, read
from backstay.core.errors import Fault
from backstay.core.web import Endpoint, Handler, Request, Response, expect_json, json_response

_SEED_LIMIT = 64 * 1024 * 1024
_REPLAYED = ((b"idempotency-replayed", b"true"),)


def endpoints(runtime: Runtime, plans: Sequence[EndpointPlan]) -> list[Endpoint]:
    """Routes of the program, then seed and counts for administrators."""
    return [_declared(runtime, plan) for plan in plans] + _admin(runtime)


def _declared(runtime: Runtime, plan: EndpointPlan) -> Endpoint:
    does = plan.does
    if isinstance(does, ActionPlan):
        return Endpoint(plan.method, plan.path, _acting(runtime, plan, does))
    return Endpoint(plan.method, plan.path, _reading(runtime, plan, does))


def _reading(runtime: Runtime, plan: EndpointPlan, does: ListPlan | OnePlan) -> Handler:
    async def handler(request: Request) -> Response:
        admit(runtime.program, plan, request.ctx.principal)
        return Response(plan.status, await read(runtime, plan, does, _ask(request)))

    return handler


def _acting(runtime: Runtime, plan: EndpointPlan, does: ActionPlan) -> Handler:
    async def handler(request: Request) -> Response:
        admit(runtime.program, plan, request.ctx.principal)
        expect_json(request)
        key = _header(request, "idempotency-key") if "idempotency-key" in request.headers else ""
        answer = await act(runtime, plan, does, _ask(request, key))
        return Response(answer.status, answer.body, headers=_REPLAYED if answer.replayed else ())

    return handler


def _admin(runtime: Runtime) -> list[Endpoint]:
    seeder = Seeder(runtime.program)

    async def seed(request: Request) -> Response:
        name = _header(request, "x-seed-id")
        return json_response(await seeder.take(runtime, name, request.body))

    async def entities(_: Request) -> Response:
        return json_response({"data": await counts(runtime)})

    return [
        Endpoint("POST", f"{PREFIX}/admin/seed", seed, scope="admin", max_body=_SEED_LIMIT),
        Endpoint("GET", f"{PREFIX}/admin/entities", entities, scope="admin"),
    ]


def _ask(request: Request, key: str = "") -> Ask:
    return Ask(
        principal=request.ctx.principal,
        path=request.path,
        params=request.params,
        query=request.query,
        body=request.body,
        key=key,
    )


def _header(request: Request, name: str) -> str:
    text = request.headers.get(name, "")
    if not 1 <= len(text) <= 255:
        raise Fault(BAD_KEY, header=name, reason=f"it has {len(text)} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Fault(BAD_KEY, header=name, reason="it holds other than visible ASCII characters")
    return text
