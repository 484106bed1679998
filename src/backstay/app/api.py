"""The HTTP face of a served program, under /api/v1: its endpoints and those of the runtime."""

from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.errors import BAD_KEY, DECLINED, KEY_MISSING, NO_UPLOADS
from backstay.app.plan.actions import ActionPlan
from backstay.app.plan.endpoints import PREFIX, EndpointPlan
from backstay.app.plan.lists import ListPlan
from backstay.app.plan.reads import OnePlan
from backstay.app.querying import routes as querying
from backstay.app.seeding import Seeder, counts
from backstay.app.service import Ask, Runtime, act, admit, read
from backstay.app.tags import tagged
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.web import (
    Endpoint,
    Handler,
    Refusal,
    Request,
    Response,
    expect_json,
    json_response,
)

MAX_BODY = 1_048_576
"""Bytes that a body may have unless the settings say another number."""
_SEED_LIMIT = 64 * 1024 * 1024
_REPLAYED = ((b"idempotency-replayed", b"true"),)


def endpoints(
    runtime: Runtime, plans: Sequence[EndpointPlan], max_body: int = MAX_BODY
) -> list[Endpoint]:
    """Routes of the program, then seed and counts for administrators. `max_body` is in bytes."""
    return [_declared(runtime, plan, max_body) for plan in plans] + _admin(runtime)


def _declared(runtime: Runtime, plan: EndpointPlan, max_body: int) -> Endpoint:
    does = plan.does
    handler = (
        _acting(runtime, plan, does)
        if isinstance(does, ActionPlan)
        else _reading(runtime, plan, does)
    )
    refusal = _in_its_words(plan.words) if plan.words else None
    return Endpoint(plan.method, plan.path, handler, max_body=max_body, refusal=refusal)


def _reading(runtime: Runtime, plan: EndpointPlan, does: ListPlan | OnePlan) -> Handler:
    async def handler(request: Request) -> Response:
        who = runtime.seen(request.ctx.principal)
        admit(runtime.program, plan, who)
        return tagged(request, plan.status, await read(runtime, plan, does, _ask(request, who)))

    return handler


def _acting(runtime: Runtime, plan: EndpointPlan, does: ActionPlan) -> Handler:
    async def handler(request: Request) -> Response:
        who = runtime.seen(request.ctx.principal)
        admit(runtime.program, plan, who)
        _expect_json(request)
        key = _key(request, plan)
        answer = await act(runtime, plan, does, _ask(request, who, key))
        return Response(answer.status, answer.body, headers=_REPLAYED if answer.replayed else ())

    return handler


def _key(request: Request, plan: EndpointPlan) -> str:
    """The key of the request, "" for none where none is wanted. Raises APP025, APP069."""
    name = plan.repeats.header
    if name in request.headers:
        return _header(request, name)
    if plan.repeats.required:
        raise Fault(KEY_MISSING, path=request.path, header=name)
    return ""


def _expect_json(request: Request) -> None:
    """Raises APP061 for an upload, CORE109 for another format."""
    given = request.headers.get("content-type", "")
    if given.startswith("multipart/"):
        raise Fault(NO_UPLOADS, path=request.path, given=given.partition(";")[0])
    expect_json(request)


def _in_its_words(words: Mapping[int, str]) -> Refusal:
    """`error 404: "…"`: refusals with that status say it. What `fail` says stays: it is nearer."""

    def reworded(fault: Fault, answer: Response) -> Response:
        says = words.get(answer.status)
        if says is None or fault.entry.code == DECLINED.code:
            return answer
        told = msgspec.json.decode(answer.body, type=dict[str, object])
        told |= {"detail": says, "error": says}
        return msgspec.structs.replace(answer, body=msgspec.json.encode(told))

    return reworded


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
        *querying(runtime),
    ]


def _ask(request: Request, who: Principal, key: str = "") -> Ask:
    return Ask(
        principal=who,
        path=request.path,
        params=request.params,
        query=request.query,
        body=request.body,
        key=key,
        headers=request.headers,
        match=request.headers.get("if-match", "").strip(),
        request=request.ctx.request_id,
    )


def _header(request: Request, name: str) -> str:
    text = request.headers.get(name, "")
    if not 1 <= len(text) <= 255:
        raise Fault(BAD_KEY, header=name, reason=f"it has {len(text)} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Fault(BAD_KEY, header=name, reason="it holds other than visible ASCII characters")
    return text
