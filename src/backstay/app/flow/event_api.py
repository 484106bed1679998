"""Events over HTTP: what happened, where it went, once more. For administrators: payloads are data
of the app that no access rule guards here."""

import msgspec

from backstay.app.flow import event_views
from backstay.app.flow.asked import choice_of, filters_of, one, window_of
from backstay.app.flow.engine import Flow
from backstay.app.flow.errors import NO_EVENT
from backstay.core.errors import Fault
from backstay.core.web import Endpoint, Request, Response, decode_json, json_response

_STATES = ("pending", "running", "done", "failed")


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/events`."""

    event: str
    payload: dict[str, object] = {}


_PUBLISHED = msgspec.json.Decoder(Published)


def routes(flow: Flow) -> list[Endpoint]:
    """All routes of events."""
    api = _Api(flow)
    root = "/api/v1/events"
    return [
        Endpoint("GET", root, api.events, scope="admin"),
        Endpoint("POST", root, api.publish, scope="admin"),
        Endpoint("GET", f"{root}/{{id}}", api.event, scope="admin"),
        Endpoint("POST", f"{root}/{{id}}/replay", api.replay, scope="admin"),
    ]


class _Api:
    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    async def events(self, request: Request) -> Response:
        window = window_of(request, "event", "state")
        filters = filters_of(request, "event") | choice_of(request, "state", _STATES)
        found = await self._flow.database.read(
            lambda conn: event_views.events(conn, window, filters), snapshot=True
        )
        return json_response(found)

    async def event(self, request: Request) -> Response:
        key = request.params["id"]
        found = await self._flow.database.read(
            lambda conn: event_views.event(conn, key), snapshot=True
        )
        if found is None:
            raise Fault(NO_EVENT, id=key)
        return json_response(found)

    async def publish(self, request: Request) -> Response:
        given = decode_json(request, _PUBLISHED)
        made = await self._flow.publish_by_hand(given.event, given.payload)
        return json_response({"id": made, "event": given.event}, 202)

    async def replay(self, request: Request) -> Response:
        key = request.params["id"]
        targets = await self._flow.replay(key, one(request, "target"))
        return json_response({"id": key, "targets": targets}, 202)
