"""What the three parts of the client share: a transport, and two ways to ask it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from backstay.core.errors import Fault
from backstay.core.http import Answer
from backstay.queue.api.wire import Item, Items, Refusal
from backstay.queue.client.transport import Call, Refused, Role, Transport
from backstay.queue.errors import SERVER_FOREIGN

T = TypeVar("T")


class Part:
    """Methods over one transport."""

    _transport: Transport

    async def _get(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        role: Role = "producer",
        wait: float = 0,
    ) -> Answer:
        call = Call("GET", path + _tail(query), role, wait=wait, safe=True)
        return await self._transport.send(call)

    async def _post(
        self,
        path: str,
        body: Any,
        *,
        role: Role = "producer",
        wait: float = 0,
        safe: bool = False,
        method: str = "POST",
        request_id: str = "",
    ) -> Answer:
        encoded = msgspec.json.encode(body)
        return await self._transport.send(
            Call(method, path, role, encoded, wait=wait, safe=safe), request_id
        )

    async def _delete(
        self, path: str, query: Mapping[str, Any] | None = None, *, role: Role
    ) -> Answer:
        call = Call("DELETE", path + _tail(query), role, safe=True)
        return await self._transport.send(call)

    def _decode(self, answer: Answer, kind: type[T]) -> T:
        """Raises QUEUE044 for what no queue would say."""
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as bad:
            reason = str(bad)
            raise Fault(SERVER_FOREIGN, address=self._transport.address, reason=reason) from bad

    def _decode_list(self, answer: Answer, kind: type[T]) -> Sequence[T]:
        """The items of a page, whatever the page says of itself."""
        listed = self._decode(answer, _Listed).data
        return self._decode(msgspec.structs.replace(answer, body=bytes(listed)), list[kind])  # type: ignore[valid-type]

    def _refusal(self, item: Item | Refusal) -> Refused:
        return Refused(self._transport.address, item.status, item.code, item.error)

    def _refusals(self, answer: Answer) -> list[Refused | None]:
        """For each item of a batch why it was refused; None where it was not."""
        items = self._decode(answer, Items).results
        return [self._refusal(item) if item.error else None for item in items]


def segment(name: str) -> str:
    """As one segment of a path."""
    return quote(name, safe="")


class _Listed(msgspec.Struct):
    data: msgspec.Raw


def _tail(query: Mapping[str, Any] | None) -> str:
    asked = {name: _text(value) for name, value in (query or {}).items() if value}
    return f"?{urlencode(asked)}" if asked else ""


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
