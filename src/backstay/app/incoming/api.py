"""`POST /api/v1/hooks/NAME` for each `webhook NAME { receive: … }` of the program.

The event and the marks of the delivery are one commit, so a webhook is an event exactly once,
however often it is sent; the second time it is answered 200 as the first.
"""

import msgspec

from backstay.app.errors import BAD_JSON, INVALID, UNFIT
from backstay.app.flow.engine import Flow
from backstay.app.incoming.errors import HOOK_NO_SECRET, HOOK_REFUSED
from backstay.app.incoming.received import fresh
from backstay.app.incoming.schemes import SCHEMES, Refused
from backstay.app.outside.values import Environment, text_of
from backstay.app.plan.acts import event_of
from backstay.app.plan.checks import Mistake, fault_of
from backstay.app.plan.endpoints import PREFIX
from backstay.app.values import micros
from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.web import Endpoint, Handler, Request, Response, json_response
from backstay.lang.program import Incoming, Program


def routes(program: Program, flow: Flow, clock: Clock, env: Environment) -> list[Endpoint]:
    """Raises APP005 where an endpoint of the program stands in the way."""
    taken = {(endpoint.method, endpoint.path) for endpoint in program.endpoints}
    for hook in program.incoming:
        if ("POST", f"/hooks/{hook.name}") in taken:
            problem = f"the endpoint POST /hooks/{hook.name} has the address of the webhook"
            instead = "give one of them another name"
            raise Fault(UNFIT, where=f"webhook {hook.name}", problem=problem, instead=instead)
    return [
        Endpoint("POST", f"{PREFIX}/hooks/{hook.name}", _taking(program, hook, flow, clock, env))
        for hook in program.incoming
    ]


def _taking(
    program: Program, hook: Incoming, flow: Flow, clock: Clock, env: Environment
) -> Handler:
    declared = event_of(program, hook.event)
    names = {field.name for field in declared.payload} if declared is not None else None
    verify = SCHEMES[hook.scheme]

    async def take(request: Request) -> Response:
        secret = text_of(hook.secret, env)
        if not secret:
            raise Fault(HOOK_NO_SECRET, hook=hook.name)
        now = clock.now()
        try:
            marks = verify(secret, request.headers, request.body, now)
        except Refused as refused:
            raise Fault(HOOK_REFUSED, hook=hook.name, reason=str(refused)) from None
        payload = _payload(request.body, names, wrapped=hook.scheme == "backstay")
        made = await flow.publish_by_hand(
            hook.event, payload, lambda conn: fresh(conn, hook, marks, micros(now))
        )
        return json_response({"event": made or None, "duplicate": not made})

    return take


def _payload(body: bytes, names: set[str] | None, *, wrapped: bool) -> dict[str, object]:
    """What the event declares of the body; all of it for an event that nobody declared. A Backstay
    that sends an event (`wrapped`) has its payload beside its name."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise Fault(BAD_JSON, reason=str(bad)) from bad
    if wrapped and isinstance(found, dict) and "event" in found and "payload" in found:
        found = found["payload"]
    if not isinstance(found, dict):
        raise fault_of(INVALID, "the body", [Mistake("", "expected an object")])
    return found if names is None else {name: found[name] for name in names & found.keys()}
