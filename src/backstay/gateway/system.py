"""The gateway's declarations, put together, and how its process is built."""

from collections.abc import Sequence

from backstay.core.clock import Clock
from backstay.core.dev_issuer import make_dev_issuer
from backstay.core.jwks import issuer_keys
from backstay.core.process import Process
from backstay.core.service import Loop, Service
from backstay.core.settings import Secret
from backstay.core.system import System
from backstay.core.trust import Trust, require_auth_for
from backstay.core.validators import Jwt
from backstay.gateway.build import assemble
from backstay.gateway.errors import ERRORS
from backstay.gateway.metrics import METRICS
from backstay.gateway.settings import GatewaySettings, read_upstreams


async def build(process: Process[GatewaySettings]) -> Sequence[Service | Loop]:
    """The parts of `backstay gateway serve`. Raises GATE002, CORE012 or CORE110."""
    settings = process.loaded.settings
    upstreams = read_upstreams(settings.upstreams, process.runtime)
    trust = trust_of(settings, process.clock)
    process.registry.declare(METRICS)
    parts = assemble(
        settings,
        upstreams,
        trust,
        process.clock,
        process.ids,
        process.registry,
        process.board,
        process.profiles,
        process.tracer,
    )
    process.board_checks.extend(parts.checks)
    process.breakers.update(parts.breakers)
    return parts.all


def trust_of(settings: GatewaySettings, clock: Clock) -> Trust:
    """With JWT_SECRET or JWT_JWKS_URL strict; without loopback only, where the development
    issuer's tokens count. Raises CORE012 when others could reach a gateway that knows none."""
    if settings.jwt_secret or settings.jwt_jwks_url:
        return Trust.strict(_validator(settings, settings.jwt_secret, clock), settings.hosts)
    require_auth_for(settings.listen, None)
    validator = _validator(settings, make_dev_issuer(settings.data), clock)
    return Trust.loopback(validator, settings.hosts)


def _validator(settings: GatewaySettings, secret: Secret, clock: Clock) -> Jwt:
    keys = issuer_keys(secret, settings.jwt_jwks_url, clock)
    return Jwt(keys, settings.jwt_issuer, settings.jwt_audience, clock)


SYSTEM = System(
    name="gateway",
    settings=GatewaySettings,
    errors=ERRORS,
    metrics=METRICS,
    build=build,
)
