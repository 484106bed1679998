"""The app put together: its declarations, and the services and loops of its process."""

import os
from collections.abc import Mapping, Sequence

from backstay.app.api import endpoints
from backstay.app.audit.api import audited
from backstay.app.audit.api import routes as audit_routes
from backstay.app.described.api import routes as described_routes
from backstay.app.environment import read_environment
from backstay.app.errors import ERRORS
from backstay.app.flow.api import routes as flow_routes
from backstay.app.flow.engine import Flow
from backstay.app.flow.errors import ERRORS as FLOW_ERRORS
from backstay.app.flow.metrics import METRICS as FLOW_METRICS
from backstay.app.flow.recall import recalled
from backstay.app.health import DatabaseHealth
from backstay.app.keys.api import routes as key_routes
from backstay.app.keys.service import Keys
from backstay.app.metrics import METRICS, watch
from backstay.app.native import endpoints as native_routes
from backstay.app.plan.endpoints import compile_endpoints
from backstay.app.plan.grants import Grants
from backstay.app.ports import TaskQueue
from backstay.app.service import Runtime
from backstay.app.settings import AppSettings
from backstay.app.store.aim import aim
from backstay.app.store.choose import database_of
from backstay.app.store.errors import ERRORS as STORE_ERRORS
from backstay.app.store.forgetter import Forgetter
from backstay.app.store.service import Store
from backstay.app.store.session import Database
from backstay.app.trial.errors import ERRORS as TRIAL_ERRORS
from backstay.app.trust import trust_of, with_provider
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
) -> Sequence[Service | Loop]:
    """The services and loops of `codeai server`. `tasks` carries work to outside workers, None
    where there is no queue.

    Raises APP001 (another database), APP002 (missing environment), APP004 (not compilable).
    """
    settings, clock = process.loaded.settings, process.clock
    program = with_provider(program)
    env = read_environment(program, os.environ)
    listen = Listen.parse(settings.address)
    database = database_of(settings, clock, process.dice)
    keys = Keys(database, clock, process.ids)
    trust = trust_of(settings, program, listen, env, clock, keys)
    program = aim(program, database.dialect)
    health = DatabaseHealth(database, clock)
    flow = _flow(process, database, env, tasks)
    flow.declare(program)
    start, emit = flow.starter(program.hash), flow.emitter(program.hash)
    grants, audit = Grants(program), settings.audit == "all"
    runtime = Runtime(program, database, clock, process.ids, env, start, emit, grants, audit)

    async def opened() -> None:
        await flow.serve(program)

    process.registry.declare(HTTP_METRICS)
    watch(process.registry, database)
    process.board_checks += [health.check(), *flow.checks]
    process.probes["app.database"] = health.probe
    process.probes.update(flow.probes)
    process.backups["app.db"] = database.backup
    routes = _routes(runtime, settings, flow, keys)
    routes += process.profiles.endpoints(settings.profiling)
    if not listen.path:
        guarded = not (settings.metrics_open or listen.loopback)
        routes += native_routes(process.board, process.registry, guarded=guarded)
    meter = RequestMeter(process.registry)
    app = App("app", routes, trust, clock, process.ids, meter, tracer=process.tracer)
    store = Store(database, program, clock, process.ids, env, [opened], migrate=settings.migrate)
    loops = [*flow.loops, Forgetter(database, clock, settings.audit_keep), keys]
    return [store, flow, *loops, HttpServer(app, listen)]


def _routes(runtime: Runtime, settings: AppSettings, flow: Flow, keys: Keys) -> list[Endpoint]:
    """The program's, and the runtime's beside them."""
    database = runtime.database
    routes = endpoints(runtime, compile_endpoints(runtime.program), settings.max_body)
    routes += [*flow_routes(flow), *key_routes(keys), *audit_routes(database)]
    routes += described_routes(runtime.program, routes)
    if settings.audit == "off":
        return routes
    return audited(routes, database, runtime.clock, runtime.ids)


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
    errors=(*ERRORS, *STORE_ERRORS, *FLOW_ERRORS, *TRIAL_ERRORS),
    metrics=(*METRICS, *FLOW_METRICS),
    build=build,
)
