"""Keys over HTTP, for administrators: `/api/v1/admin/keys`. Nothing but the answer that made a key
ever holds its text."""

import msgspec

from backstay.app.flow.asked import one, window_of
from backstay.app.keys.model import Key, Wanted
from backstay.app.keys.service import Keys
from backstay.app.values import stamp_text
from backstay.core.errors import Plain
from backstay.core.web import Endpoint, Request, Response, decode_json, json_response

_WANTED = msgspec.json.Decoder(Wanted)


def routes(keys: Keys) -> list[Endpoint]:
    """Create, list, rotate, revoke."""
    root = "/api/v1/admin/keys"

    async def create(request: Request) -> Response:
        made, text = await keys.create(decode_json(request, _WANTED), request.ctx.principal)
        return json_response(_shown(made, keys.now) | {"key": text}, 201)

    async def listed(request: Request) -> Response:
        window = window_of(request)
        found, total = await keys.page(window.limit, window.page)
        now = keys.now
        pagination: dict[str, Plain] = {
            "limit": window.limit,
            "page": window.page,
            "total": total,
            "has_next": window.page * window.limit < total,
        }
        return json_response(
            {"data": [_shown(key, now) for key in found], "pagination": pagination}
        )

    async def rotate(request: Request) -> Response:
        old, grace = request.params["id"], one(request, "grace")
        made, text = await keys.rotate(old, grace, request.ctx.principal)
        return json_response(_shown(made, keys.now) | {"key": text}, 201)

    async def revoke(request: Request) -> Response:
        return json_response(_shown(await keys.revoke(request.params["id"]), keys.now))

    return [
        Endpoint("POST", root, create, scope="admin"),
        Endpoint("GET", root, listed, scope="admin"),
        Endpoint("POST", f"{root}/{{id}}/rotate", rotate, scope="admin"),
        Endpoint("DELETE", f"{root}/{{id}}", revoke, scope="admin"),
    ]


def _shown(key: Key, now: int) -> dict[str, Plain]:
    def at(moment: int | None) -> str | None:
        return None if moment is None else stamp_text(moment)

    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "status": key.status(now),
        "sub": key.sub,
        "tenant": key.tenant,
        "roles": list(key.roles),
        "scopes": list(key.scopes),
        "created_by": key.created_by,
        "created_at": at(key.created_at),
        "ends_at": at(key.ends_at),
        "revoked_at": at(key.revoked_at),
        "last_used_at": at(key.used_at),
        "replaces": key.replaces,
    }
