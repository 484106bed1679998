"""The client's part for those who look after the queue."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from backstay.queue.api.wire import Audited, BackedUp, Cleaned, Count, QueueView
from backstay.queue.api.wire import TaskPage as Listed
from backstay.queue.client.base import Part, segment
from backstay.queue.client.views import (
    DeliveryView,
    PeriodicView,
    PolicyView,
    TaskPage,
    Time,
    given,
    time_text,
)

T = TypeVar("T")


class Administering(Part):
    """Needs a token with `codeq:admin`."""

    async def list_queues(self) -> Sequence[QueueView]:
        """Depths per tenant and command."""
        return self._decode_list(await self._get("/admin/queues", role="admin"), QueueView)

    async def get_queue_stats(self, command: str) -> QueueView:
        """Depths of one command over the tenants that the caller serves."""
        return self._decode(await self._get(_queue(command), role="admin"), QueueView)

    async def cleanup_expired(
        self, command: str = "", before: Time | None = None, limit: int = 0
    ) -> Cleaned:
        """Delete tasks that ended before a time (none: now), and mend the store."""
        body = given(command=command, before=time_text(before), limit=limit)
        return await self._do("/admin/tasks/cleanup", body, Cleaned, safe=True)

    async def list_dead(
        self, command: str, *, newest_first: bool = False, cursor: str = "", limit: int = 50
    ) -> TaskPage:
        """Dead letters, in the order of their arrival."""
        order = "newest" if newest_first else ""
        query = {"order": order, "cursor": cursor, "limit": limit}
        page = self._decode(await self._get(f"{_queue(command)}/dlq", query, role="admin"), Listed)
        return TaskPage(page.data, page.pagination.next_cursor or "")

    async def redrive(
        self,
        command: str,
        *,
        status: str = "",
        tag: str = "",
        key: str = "",
        created_before: Time | None = None,
        rate_per_second: float = 0,
        limit: int = 0,
    ) -> Count:
        """Dead letters (or FAILED, CANCELLED ones) begin again, with a rate one after the other;
        `more` says that the limit (0: the server's most) left some."""
        chosen = given(status=status, tag=tag, key=key, created_before=time_text(created_before))
        body = given(filter=chosen, rate_per_second=rate_per_second, limit=limit)
        return await self._do(f"{_queue(command)}/redrive", body, Count)

    async def purge(
        self, command: str, *, status: str = "", before: Time | None = None, limit: int = 0
    ) -> Count:
        """Delete ended tasks of a status (empty: all that ended) with their results."""
        body = given(status=status, before=time_text(before), limit=limit)
        return await self._do(f"{_queue(command)}/purge", body, Count, safe=True)

    async def pause_queue(self, command: str, *, tenant: str = "") -> PolicyView:
        """Nothing more is claimed; creation goes on. Without a tenant: of all that are served."""
        body = given(tenant=tenant)
        return await self._do(f"{_queue(command)}/pause", body, PolicyView, safe=True)

    async def resume_queue(self, command: str, *, tenant: str = "") -> PolicyView:
        """Tasks may be claimed again."""
        body = given(tenant=tenant)
        return await self._do(f"{_queue(command)}/resume", body, PolicyView, safe=True)

    async def get_policy(self, command: str, *, tenant: str = "") -> PolicyView:
        """What holds for this queue."""
        path = f"{_queue(command)}/policy"
        return self._decode(await self._get(path, {"tenant": tenant}, role="admin"), PolicyView)

    async def set_policy(
        self,
        command: str,
        *,
        tenant: str = "",
        paused: bool = False,
        concurrency: int = 0,
        rate: float = 0,
        burst: int = 1,
        key_concurrency: int = 0,
        key_rate: float = 0,
    ) -> PolicyView:
        """Replaces what was there; 0 is no bound."""
        body = given(
            tenant=tenant,
            paused=paused,
            concurrency=concurrency,
            rate=rate,
            burst=burst,
            key_concurrency=key_concurrency,
            key_rate=key_rate,
        )
        path = f"{_queue(command)}/policy"
        answer = await self._post(path, body, role="admin", safe=True, method="PUT")
        return self._decode(answer, PolicyView)

    async def list_periodic(self, *, tenant: str = "") -> Sequence[PeriodicView]:
        """By name."""
        answer = await self._get("/admin/periodic", {"tenant": tenant}, role="admin")
        return self._decode_list(answer, PeriodicView)

    async def get_periodic(self, name: str, *, tenant: str = "") -> PeriodicView:
        answer = await self._get(_periodic(name), {"tenant": tenant}, role="admin")
        return self._decode(answer, PeriodicView)

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
        tenant: str = "",
    ) -> PeriodicView:
        """Create or replace it. `cron` is five fields in `timezone`, a name of the IANA base."""
        body = {"command": command, "cron": cron, "payload": {} if payload is None else payload}
        body |= given(
            timezone=timezone,
            priority=priority,
            max_attempts=max_attempts,
            tags=[*tags],
            key=key,
            webhook=webhook,
            paused=paused,
            tenant=tenant,
        )
        answer = await self._post(_periodic(name), body, role="admin", safe=True, method="PUT")
        return self._decode(answer, PeriodicView)

    async def delete_periodic(self, name: str, *, tenant: str = "") -> PeriodicView:
        """No more of it; tasks it has made stay."""
        answer = await self._delete(_periodic(name), {"tenant": tenant}, role="admin")
        return self._decode(answer, PeriodicView)

    async def pause_periodic(self, name: str, *, tenant: str = "") -> PeriodicView:
        """Its times pass without a task."""
        body = given(tenant=tenant)
        return await self._do(f"{_periodic(name)}/pause", body, PeriodicView, safe=True)

    async def resume_periodic(self, name: str, *, tenant: str = "") -> PeriodicView:
        """It goes on with its next time."""
        body = given(tenant=tenant)
        return await self._do(f"{_periodic(name)}/resume", body, PeriodicView, safe=True)

    async def list_deliveries(
        self, *, given_up: bool = False, limit: int = 50
    ) -> Sequence[DeliveryView]:
        """Result callbacks that wait, or that were given up."""
        query = {"givenUp": given_up, "limit": limit}
        return self._decode_list(
            await self._get("/admin/deliveries", query, role="admin"), DeliveryView
        )

    async def retry_delivery(self, id: str) -> None:
        """Make this callback once more, now."""
        await self._post(f"/admin/deliveries/{segment(id)}/retry", {}, role="admin")

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
        return self._decode(await self._post(path, body, role="admin", safe=safe), kind)


def _queue(command: str) -> str:
    return f"/admin/queues/{segment(command)}"


def _periodic(name: str) -> str:
    return f"/admin/periodic/{segment(name)}"
