"""Who a caller of the queue is: two sides with validators of their own, judged at one listener.

A token may be good on one side or on both. What it may do follows from the side that knows it: a
producer creates (and administrates, if it says so), a worker does what its scopes and eventTypes
say. Nothing fails open: what no side knows is a 401.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from backstay.core import faults
from backstay.core.clock import Clock
from backstay.core.context import Principal
from backstay.core.dev_issuer import AUDIENCE, ISSUER, read_dev_issuer
from backstay.core.errors import Fault
from backstay.core.jwks import Jwks
from backstay.core.server import Listen
from backstay.core.settings import Secret
from backstay.core.tokens import SharedSecret
from backstay.core.trust import Trust, require_auth_for
from backstay.core.validators import FirstOf, Jwt, Static, Validator, most_telling
from backstay.queue.api.access import ADMIN, PRODUCE, WORKER_SCOPES
from backstay.queue.auth_settings import AuthSettings, Provider, StaticToken

Side = Literal["producer", "worker"]


def trust_of(settings: AuthSettings, listen: Listen, clock: Clock) -> Trust:
    """Behind the gateway it believes; alone it judges: strictly when tokens are configured, else on
    loopback only, where those of the development issuer are verified and nobody needs one.

    Raises CORE012 for an address that others reach without tokens configured.
    """
    if listen.path:
        return Trust.socket()
    if settings.judged:
        return Trust.strict(validator_of(settings, clock))
    require_auth_for(str(listen), None)
    secret = read_dev_issuer(settings.data)
    if not secret:
        return Trust.loopback(_Nobody())
    return Trust.loopback(_own(secret, ISSUER, AUDIENCE, clock))


def validator_of(settings: AuthSettings, clock: Clock) -> Validator:
    """Everything that `settings` name, as one validator."""
    skew = settings.allowed_clock_skew_seconds
    known: list[Validator] = []
    workers = _validators(settings.workers(), "worker", clock, skew)
    producers = _validators(settings.producers(), "producer", clock, skew)
    if workers or producers:
        known.append(Sides(workers, producers, producers_work=settings.allow_producer_as_worker))
    if settings.jwt_secret:
        issuer, audience = settings.jwt_issuer, settings.jwt_audience
        known.append(_own(settings.jwt_secret, issuer, audience, clock, skew))
    return known[0] if len(known) == 1 else FirstOf(known)


class Sides:
    """A Validator that asks both sides and joins what they grant."""

    def __init__(
        self,
        workers: Sequence[Validator],
        producers: Sequence[Validator],
        *,
        producers_work: bool = False,
    ) -> None:
        self._workers = tuple(workers)
        self._producers = tuple(producers)
        self._producers_work = producers_work

    async def validate(self, token: str) -> Principal:
        """The bearer, with the rights of each side that knows the token. Raises AUTH001 to 9."""
        refusals: list[Fault] = []
        worker = await _first(self._workers, token, refusals)
        producer = await _first(self._producers, token, refusals)
        if worker is not None:
            try:
                worker = _as_worker(worker)
            except Fault as refusal:
                refusals.append(refusal)
                worker = None
        if producer is not None:
            producer = _as_producer(producer, works=self._producers_work and worker is None)
        if worker is None or producer is None:
            found = worker or producer
            if found is None:
                raise most_telling(refusals)
            return found
        return _both(worker, producer)


class _Nobody:
    """A Validator for a server that has nothing to verify tokens with."""

    async def validate(self, token: str) -> Principal:  # noqa: ARG002 - none is good
        reason = "this server has no issuer configured; send no token, or configure one"
        raise Fault(faults.AUTH_INVALID, reason=reason)


async def _first(
    validators: Sequence[Validator], token: str, refusals: list[Fault]
) -> Principal | None:
    for validator in validators:
        try:
            return await validator.validate(token)
        except Fault as refusal:
            refusals.append(refusal)
    return None


def _as_worker(bearer: Principal) -> Principal:
    """Its worker scopes within its eventTypes. Raises AUTH001 where it states neither."""
    events = bearer.claims.get("eventTypes")
    if not isinstance(events, list) or not bearer.scopes:
        raise Fault(faults.AUTH_INVALID, reason="a worker's token needs eventTypes and scope")
    return msgspec.structs.replace(
        bearer, scopes=bearer.scopes & frozenset(WORKER_SCOPES), roles=frozenset()
    )


def _as_producer(bearer: Principal, *, works: bool) -> Principal:
    """Every producer creates; admin is what says so, by scope or by role."""
    scopes = (bearer.scopes & {PRODUCE, ADMIN}) | {PRODUCE}
    claims: Mapping[str, Any] = {
        name: value for name, value in bearer.claims.items() if name != "eventTypes"
    }
    roles = bearer.roles
    role = bearer.claims.get("role")
    if isinstance(role, str):
        roles |= {role}
    if works:
        scopes |= frozenset(WORKER_SCOPES)
        claims = {**claims, "eventTypes": ["*"]}
    return msgspec.structs.replace(bearer, scopes=scopes, roles=roles, claims=claims)


def _both(worker: Principal, producer: Principal) -> Principal:
    """One token, known to both sides. They must mean the same tenant; `tenants` counts only where
    both say it."""
    if worker.tenant != producer.tenant:
        raise Fault(faults.AUTH_INVALID, reason="its two meanings have different tenants")
    claims = {**producer.claims, **worker.claims}
    if worker.claims.get("tenants") != producer.claims.get("tenants"):
        claims.pop("tenants", None)
    return Principal(
        "user",
        worker.sub or producer.sub,
        worker.tenant,
        worker.scopes | producer.scopes,
        producer.roles,
        claims,
    )


def _validators(
    providers: Sequence[Provider], side: Side, clock: Clock, skew: float
) -> list[Validator]:
    return [_validator(provider, side, clock, skew) for provider in providers]


def _validator(provider: Provider, side: Side, clock: Clock, skew: float) -> Validator:
    if isinstance(provider, StaticToken):
        claims = provider.claims(f"{side}-static")
        return Static({Secret(provider.token): claims}, kind=side)
    keys = Jwks(provider.jwks_url, clock)
    issuer, audience = provider.issuer, provider.audience
    return Jwt(keys, issuer, audience, clock, skew, kind=side, blame_bearer=True)


def _own(secret: Secret, issuer: str, audience: str, clock: Clock, skew: float = 60.0) -> Jwt:
    return Jwt(SharedSecret(secret), issuer, audience, clock, skew, blame_bearer=True)
