"""The client's part for those who look after the queue."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from backstay.queue.api.wire import Audited, BackedUp, Cleaned, Count, QueueView
from backstay.queue.api.wire import TaskPage as Listed
from backstay.queue.client.base import Part, decode, decode_list, segment
from backstay.queue.client.views import (
    DeliveryView,
    PeriodicView,
    PolicyView,
    TaskPage,
    Time,
    fields_of,
    given,
    time_text,
)

T = TypeVar("T")


class Administering(Part):
    """Needs a token with `codeq:admin`."""

    async def list_queues(self) -> Sequence[QueueView]:
        """Depths per tenant and command."""
        return decode_list(await self._get("/admin/queues", role="admin"), QueueView)

    async def get_queue_stats(self, command: str) -> QueueView:
        """Depths of one command over the tenants that the caller serves."""
        return decode(await self._get(_queue(command), role="admin"), QueueView)

    async def cleanup_expired(
        self, command: str = "", before: Time | None = None, limit: int = 0
    ) -> Cleaned:
        """Delete tasks that ended before a time (none: now), and mend the store."""
        body = given(command=command, before=time_text(before), limit=limit)
        return await self._do("/admin/tasks/cleanup", body, Cleaned, safe=True)

    async def list_dead(self, command: str, *, cursor: str = "", limit: int = 50) -> TaskPage:
        """Dead letters, in the order of their arrival."""
        query = {"cursor": cursor, "limit": limit}
        page = decode(await self._get(f"{_queue(command)}/dlq", query, role="admin"), Listed)
        return TaskPage(page.data, page.pagination.next_cursor or "")

    async def redrive(
        self,
        command: str,
        *,
        filter: Mapping[str, Any] | None = None,
        rate_per_second: float = 0,
        limit: int = 0,
    ) -> Count:
        """Dead letters begin again, with a rate one after the other."""
        body = given(filter=fields_of(filter or {}), rate_per_second=rate_per_second, limit=limit)
        return await self._do(f"{_queue(command)}/redrive", body, Count)

    async def purge(
        self, command: str, *, status: str = "", before: Time | None = None, limit: int = 0
    ) -> Count:
        """Delete ended tasks of a status (empty: all that ended) with their results."""
        body = given(status=status, before=time_text(before), limit=limit)
        return await self._do(f"{_queue(command)}/purge", body, Count, safe=True)

    async def pause_queue(self, command: str) -> Mapping[str, Any]:
        """Its tasks stay where they are; creation goes on."""
        return await self._do(f"{_queue(command)}/pause", {}, dict[str, Any], safe=True)

    async def resume_queue(self, command: str) -> Mapping[str, Any]:
        return await self._do(f"{_queue(command)}/resume", {}, dict[str, Any], safe=True)

    async def get_policy(self, command: str) -> PolicyView:
        return decode(await self._get(f"{_queue(command)}/policy", role="admin"), PolicyView)

    async def set_policy(self, command: str, policy: PolicyView | Mapping[str, Any]) -> PolicyView:
        """Replaces what was there."""
        body, path = fields_of(policy), f"{_queue(command)}/policy"
        answer = await self._post(path, body, role="admin", safe=True, method="PUT")
        return decode(answer, PolicyView)

    async def list_periodic(self) -> Sequence[PeriodicView]:
        """By name."""
        return decode_list(await self._get("/admin/periodic", role="admin"), PeriodicView)

    async def get_periodic(self, name: str) -> PeriodicView:
        answer = await self._get(f"/admin/periodic/{segment(name)}", role="admin")
        return decode(answer, PeriodicView)

    async def set_periodic(
        self,
        name: str,
        command: str,
        cron: str,
        *,
        payload: Any = None,
        timezone: str = "",
        priority: int = 0,
        max_attempts: int = 0,
        tags: Sequence[str] = (),
        key: str = "",
        webhook: str = "",
        paused: bool = False,
    ) -> PeriodicView:
        """Create or replace it."""
        body = {"command": command, "cron": cron, "payload": {} if payload is None else payload}
        body |= given(
            timezone=timezone,
            priority=priority,
            max_attempts=max_attempts,
            tags=[*tags],
            key=key,
            webhook=webhook,
            paused=paused,
        )
        path = f"/admin/periodic/{segment(name)}"
        answer = await self._post(path, body, role="admin", safe=True, method="PUT")
        return decode(answer, PeriodicView)

    async def delete_periodic(self, name: str) -> None:
        path = f"/admin/periodic/{segment(name)}"
        await self._post(path, {}, role="admin", safe=True, method="DELETE")

    async def list_deliveries(self, *, given_up: bool = False) -> Sequence[DeliveryView]:
        """Result callbacks that wait, or that were given up."""
        query = {"givenUp": "true" if given_up else ""}
        return decode_list(await self._get("/admin/deliveries", query, role="admin"), DeliveryView)

    async def retry_delivery(self, id: str) -> Mapping[str, Any]:
        """Make this callback once more, now."""
        return await self._do(f"/admin/deliveries/{segment(id)}/retry", {}, dict[str, Any])

    async def audit(self, *, repair: bool = False, command: str = "") -> Audited:
        """What contradicts itself in the store, mended with `repair`."""
        body = given(repair=repair, command=command)
        return await self._do("/admin/audit", body, Audited, safe=True)

    async def backup(self) -> BackedUp:
        """A consistent copy in the server's data folder."""
        return await self._do("/admin/backup", {}, BackedUp)

    async def _do(
        self, path: str, body: Mapping[str, Any], kind: type[T], *, safe: bool = False
    ) -> T:
        return decode(await self._post(path, body, role="admin", safe=safe), kind)


def _queue(command: str) -> str:
    return f"/admin/queues/{segment(command)}"
