"""The app put together: its declarations, and the services and loops of its process."""

import os
import sys
from collections.abc import Mapping, Sequence

from backstay.app.audit.api import routes as audit_routes
from backstay.app.cache.choose import CacheService, cache_of, place_of
from backstay.app.cache.errors import ERRORS as CACHE_ERRORS
from backstay.app.cache.health import CacheHealth
from backstay.app.cache.responses import METRICS as CACHE_METRICS
from backstay.app.cache.store import Cache
from backstay.app.cache.watching import WatchedDatabase
from backstay.app.cors import CorsApp, cors_of
from backstay.app.environment import read_environment
from backstay.app.errors import ERRORS
from backstay.app.flow.engine import Flow
from backstay.app.flow.errors import ERRORS as FLOW_ERRORS
from backstay.app.flow.metrics import METRICS as FLOW_METRICS
from backstay.app.flow.recall import recalled
from backstay.app.health import DatabaseHealth
from backstay.app.incoming.errors import ERRORS as INCOMING_ERRORS
from backstay.app.keys.api import routes as key_routes
from backstay.app.keys.service import Keys
from backstay.app.metrics import METRICS, watch
from backstay.app.native import endpoints as native_routes
from backstay.app.operations import locks, probe
from backstay.app.operations import routes as operations
from backstay.app.outside.target import Tools
from backstay.app.ports import TaskQueue
from backstay.app.reloading import Reloader, Source, Swap
from backstay.app.served import Serving
from backstay.app.settings import AppSettings
from backstay.app.store.aim import aim
from backstay.app.store.choose import database_of, told
from backstay.app.store.errors import ERRORS as STORE_ERRORS
from backstay.app.store.forgetter import Forgetter
from backstay.app.store.service import Store
from backstay.app.store.session import Database
from backstay.app.store.slow import TimedDatabase
from backstay.app.trial.errors import ERRORS as TRIAL_ERRORS
from backstay.app.trust import trust_of, with_provider
from backstay.app.watch.probes import Face
from backstay.app.watch.probes import of as watching
from backstay.app.watch.samples import Totals, Watch
from backstay.core.asgi import METRICS as HTTP_METRICS
from backstay.core.asgi import App
from backstay.core.metrics import RequestMeter
from backstay.core.process import Process
from backstay.core.server import HttpServer, Listen
from backstay.core.service import Loop, Service
from backstay.core.system import System
from backstay.core.web import Endpoint
from backstay.lang.program import Program


async def build(
    process: Process[AppSettings],
    program: Program,
    tasks: TaskQueue | None,
    source: Source | None = None,
) -> Sequence[Service | Loop]:
    """The services and loops of `codeai server`. `tasks` carries work to outside workers, None
    where there is no queue; the program is read again from `source` when it changes there.

    Raises APP001 (another database), APP002 (missing environment), APP004 (not compilable).
    """
    clock = process.clock
    program = with_provider(program)
    settings = told(process.loaded, program)
    env = read_environment(program, os.environ)
    listen = Listen.parse(settings.address)
    cache = cache_of(settings, program, clock, process.ids)
    timed = TimedDatabase(database_of(settings, clock, process.dice), clock, settings.slow_query)
    database = WatchedDatabase(timed, cache)
    keys = Keys(database, clock, process.ids)
    trust = trust_of(settings, program, listen, env, clock, keys)
    program = aim(program, database.dialect)
    flow = _flow(process, database, env, tasks)
    flow.integrations.equip(Tools(process.tracer, cache))
    flow.declare(program)

    async def opened() -> None:
        await cache.open(await place_of(database))
        await flow.serve(program)

    store = Store(database, program, clock, process.ids, env, [opened], migrate=settings.migrate)
    _declare(process, database, flow, cache)
    process.probes["app.queries"] = lambda: probe(timed)
    process.probes["app.locks"] = lambda: locks(database)
    fixed = _fixed_routes(process, listen, database, keys) + operations(timed)
    served = Serving(process, database, flow, store, cache, env, fixed)
    meter = RequestMeter(process.registry)
    routes = served.routes(program)
    app = CorsApp("app", routes, trust, clock, process.ids, meter, tracer=process.tracer)
    app.cors = cors_of(program, settings.cors_origins)
    server = HttpServer(app, listen)
    watch = _watched(process, timed, flow, cache, app, server)
    loops: list[Loop] = [*flow.loops, Forgetter(database, clock, settings.audit_keep), keys, watch]
    if isinstance(cache, Loop):
        loops.append(cache)
    if source is not None:
        loops.append(_reloader(process, source, program, served.swapping(app, program)))
    return [CacheService(cache), store, flow, *loops, server]


def _watched(
    process: Process[AppSettings],
    database: TimedDatabase,
    flow: Flow,
    cache: Cache,
    app: App,
    server: HttpServer,
) -> Watch:
    """What the process keeps of itself, and the probes that tell it."""

    def totals() -> Totals:
        return Totals(database.statements, database.waits, database.works, app.body_seconds)

    def cached() -> int:
        found = cache.facts()
        size = found.get("bytes") if found.get("kind") == "memory" else 0
        return size if isinstance(size, int) else 0

    watch = Watch(process.clock, process.registry, totals)
    face = Face(
        under_way=app.under_way,
        port=lambda: 0 if server.listen.path else server.listen.port,
        most=lambda: server.most,
        cached=cached,
        calls=lambda: (len(flow.runner.flying), flow.runner.limit),
    )
    process.probes.update(watching(watch, face))
    return watch


def _reloader(
    process: Process[AppSettings], source: Source, program: Program, swap: Swap
) -> Reloader:
    reloader = Reloader(source, program, swap, process.clock, sys.stderr.write)
    process.board_checks.append(reloader.check())
    process.probes["app.reload"] = reloader.probe
    return reloader


def _declare(
    process: Process[AppSettings], database: WatchedDatabase, flow: Flow, cache: Cache
) -> None:
    """Metrics, checks, probes and backups."""
    process.registry.declare(HTTP_METRICS)
    process.registry.declare(CACHE_METRICS)
    watch(process.registry, database)
    health, cached = DatabaseHealth(database, process.clock), CacheHealth(cache, process.clock)
    process.board_checks += [health.check(), cached.check(), *flow.checks]
    process.probes["app.database"] = health.probe
    process.probes["app.cache"] = cached.probe
    process.probes.update(flow.probes)
    process.backups["app.db"] = database.backup


def _fixed_routes(
    process: Process[AppSettings], listen: Listen, database: Database, keys: Keys
) -> list[Endpoint]:
    """Routes that no program changes."""
    settings = process.loaded.settings
    routes = [*key_routes(keys), *audit_routes(database)]
    routes += process.profiles.endpoints(settings.profiling)
    if not listen.path:
        guarded = not (settings.metrics_open or listen.loopback)
        routes += native_routes(process.board, process.registry, guarded=guarded)
    return routes


def _flow(
    process: Process[AppSettings],
    database: Database,
    env: Mapping[str, str | None],
    tasks: TaskQueue | None,
) -> Flow:
    return Flow(
        database=database,
        clock=process.clock,
        ids=process.ids,
        dice=process.dice,
        registry=process.registry,
        breakers=process.breakers,
        env=env,
        load=recalled(database),
        queue=tasks,
        allow=process.loaded.settings.egress_allow,
        keep=process.loaded.settings.history_keep,
        # A file has one owner (core.sqlite); a server may have many replicas at work.
        sole=process.loaded.settings.store() is not None,
    )


SYSTEM = System(
    name="app",
    settings=AppSettings,
    errors=(*ERRORS, *STORE_ERRORS, *FLOW_ERRORS, *CACHE_ERRORS, *INCOMING_ERRORS, *TRIAL_ERRORS),
    metrics=(*METRICS, *FLOW_METRICS, *CACHE_METRICS),
    build=build,
)
