"""What bounds a queue: pause, resume, concurrency and rate, of the whole queue and of each key."""

import msgspec
import structlog

from backstay.core.clock import Clock
from backstay.queue.model import ANY_TENANT, Policy
from backstay.queue.operations import SetPolicy
from backstay.queue.store import Engine

_log = structlog.get_logger("queue.policies")


class InForce(msgspec.Struct, frozen=True):
    """What holds for a queue. `inherited`: it has no policy of its own, that of every tenant holds;
    else the tighter of both. `paused_for_all`: that one pauses it."""

    policy: Policy
    inherited: bool
    paused_for_all: bool


class Policies:
    """The use cases. A tenant of `*` speaks for every tenant's queue of the command."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def of(self, tenant: str, command: str) -> InForce:
        """Never fails: what was never bounded has no bounds."""
        own, shared = await self._find(tenant, command)
        inherited = own == Policy(tenant, command) and shared != Policy(ANY_TENANT, command)
        return InForce(
            shared if inherited else own.within(shared),
            inherited=inherited,
            paused_for_all=shared.paused,
        )

    async def put(self, policy: Policy) -> InForce:
        """Replace it; one without bounds takes the queue's own policy away."""
        dated = msgspec.structs.replace(policy, updated_at=self._clock.now())
        await self._set(dated)
        _log.info("policy set", **msgspec.structs.asdict(dated))
        return await self.of(policy.tenant, policy.command)

    async def pause(self, tenant: str, command: str, *, paused: bool) -> InForce:
        """Its bounds stay. What is leased goes on; what arrives waits."""
        own, shared = await self._find(tenant, command)
        now = self._clock.now()
        await self._set(msgspec.structs.replace(own, paused=paused, updated_at=now))
        what = "queue paused" if paused else "queue resumed"
        _log.info(what, tenant=tenant, command=command, paused_for_all=shared.paused)
        return await self.of(tenant, command)

    async def _find(self, tenant: str, command: str) -> tuple[Policy, Policy]:
        found = await self._engine.policies(tenant if tenant != ANY_TENANT else None)
        named = {one.tenant: one for one in found if one.command == command}
        return (
            named.get(tenant, Policy(tenant, command)),
            named.get(ANY_TENANT, Policy(ANY_TENANT, command)),
        )

    async def _set(self, policy: Policy) -> None:
        await self._engine.apply([SetPolicy(policy)], self._clock.now())
