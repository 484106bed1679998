"""patchgen put together: its declarations, and the services of `patchgen serve`."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from backstay.core.asgi import METRICS as HTTP_METRICS
from backstay.core.asgi import App
from backstay.core.clock import Clock
from backstay.core.dev_issuer import AUDIENCE, ISSUER, read_dev_issuer
from backstay.core.errors import Fault
from backstay.core.jwks import issuer_keys
from backstay.core.metrics import RequestMeter
from backstay.core.process import Process
from backstay.core.server import HttpServer, Listen
from backstay.core.service import Loop, Service
from backstay.core.system import System
from backstay.core.trust import Trust, require_auth_for
from backstay.core.validators import Jwt
from backstay.patchgen.api import Intents
from backstay.patchgen.errors import ERRORS
from backstay.patchgen.errors.disk import NO_OUTPUT
from backstay.patchgen.health import Health
from backstay.patchgen.metrics import METRICS, PatchgenMetrics
from backstay.patchgen.probes import output_facts
from backstay.patchgen.service import Job
from backstay.patchgen.settings import PatchgenSettings
from backstay.patchgen.write import FolderWriter

_log = structlog.get_logger("patchgen")


class Hands:
    """The threads that generate, as a Service: drained after the HTTP server in front of them."""

    name = "generation"

    def __init__(self, writer: FolderWriter) -> None:
        self.pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "patchgen")
        self._writer = writer

    async def start(self) -> None:
        """What a killed process left half-written goes; a missing folder is told, and may come."""
        try:
            swept = self._writer.sweep()
        except Fault as fault:
            _log.warning("output folder cannot be used", error=fault.message, fix=fault.fix)
            return
        if swept:
            _log.info("removed half-written packages", count=swept)

    def ready(self) -> bool:
        return True

    async def drain(self, seconds: float) -> None:
        """The server in front has ended every request by now."""

    async def stop(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


async def build(process: Process[PatchgenSettings]) -> Sequence[Service | Loop]:
    """The services of `patchgen serve`. Raises PATCH074 without an output folder."""
    settings = process.loaded.settings
    clock = process.clock
    listen = Listen.parse(settings.listen)
    trust = trust_of(settings, listen, clock)
    if not settings.output_dir:
        raise Fault(NO_OUTPUT)
    writer = FolderWriter(settings.output_dir, process.ids, durability=settings.durability)
    hands = Hands(writer)
    health = Health(settings.output_dir, settings.memory_warning)
    process.registry.declare(HTTP_METRICS)
    intents = Intents(
        Job(settings.output_dir, settings.strict_mode, settings.durability),
        settings.request_timeout,
        clock,
        process.ids,
        PatchgenMetrics(process.registry),
        health,
        hands.pool,
    )
    endpoints = [*intents.endpoints(), *process.profiles.endpoints(settings.profiling)]
    meter = RequestMeter(process.registry)
    app = App("patchgen", endpoints, trust, clock, process.ids, meter)
    process.board_checks.extend(health.checks())
    process.probes["patchgen.output"] = lambda: output_facts(settings.output_dir)
    process.probes["patchgen.pace"] = intents.pace
    process.probes["patchgen.memory"] = health.memory
    return [hands, HttpServer(app, listen)]


def trust_of(settings: PatchgenSettings, listen: Listen, clock: Clock) -> Trust:
    """Behind the gateway it believes; alone it judges: strictly when tokens are configured, else on
    loopback only. Raises CORE012 for an address that others reach without tokens."""
    if listen.path:
        return Trust.socket()
    if settings.jwt_secret or settings.jwt_jwks_url:
        keys = issuer_keys(settings.jwt_secret, settings.jwt_jwks_url, clock)
        return Trust.strict(Jwt(keys, settings.jwt_issuer, settings.jwt_audience, clock))
    require_auth_for(str(listen), None)
    secret = read_dev_issuer(settings.data)
    if not secret:
        return Trust.loopback()
    return Trust.loopback(Jwt(issuer_keys(secret, "", clock), ISSUER, AUDIENCE, clock))


SYSTEM = System(
    name="patchgen",
    settings=PatchgenSettings,
    errors=ERRORS,
    metrics=METRICS,
    build=build,
)
