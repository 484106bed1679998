"""What a process makes anew when its program changes: routes, and what stands behind them."""

import asyncio
import os
from collections.abc import Sequence

from backstay.app.api import endpoints
from backstay.app.audit.api import audited
from backstay.app.bounds import Bounds
from backstay.app.cache.responses import Caching
from backstay.app.cache.store import Cache
from backstay.app.cache.watching import WatchedDatabase
from backstay.app.cors import CorsApp, cors_of
from backstay.app.described.api import routes as described_routes
from backstay.app.environment import read_environment
from backstay.app.errors import WANTS_RESTART
from backstay.app.flow.api import routes as flow_routes
from backstay.app.flow.engine import Flow
from backstay.app.incoming.api import routes as incoming_routes
from backstay.app.plan.endpoints import compile_endpoints
from backstay.app.plan.grants import Grants
from backstay.app.reloading import Swap
from backstay.app.service import Runtime
from backstay.app.settings import AppSettings
from backstay.app.store.aim import aim
from backstay.app.store.service import Store
from backstay.app.trust import with_provider
from backstay.core.errors import Fault
from backstay.core.process import Process
from backstay.core.web import Endpoint
from backstay.lang.program import Program


class Serving:
    """Makes the routes of a program, and puts another in its place. `env` is changed in place:
    whatever was made before reads it; `fixed` are routes that no program changes."""

    def __init__(
        self,
        process: Process[AppSettings],
        database: WatchedDatabase,
        flow: Flow,
        store: Store,
        cache: Cache,
        env: dict[str, str | None],
        fixed: Sequence[Endpoint],
    ) -> None:
        self._process = process
        self._database = database
        self._flow = flow
        self._store = store
        self._cache = cache
        self._env = env
        self._fixed = fixed

    def routes(self, program: Program) -> list[Endpoint]:
        """Everything that is answered while this program is served. Raises APP004, APP005."""
        found, caching = self._compiled(program)
        self._database.watch(caching.tables)
        return found

    def swapping(self, app: CorsApp, program: Program) -> Swap:
        """How the program is changed for another: all of it, or a Fault and nothing."""
        served = program

        async def swap(changed: Program) -> None:
            nonlocal served
            changed = with_provider(changed)
            if changed.auth != served.auth:
                raise Fault(WANTS_RESTART, what="auth")
            for name in ("cors", "database"):
                if dict(changed.settings).get(name) != dict(served.settings).get(name):
                    raise Fault(WANTS_RESTART, what=name)
            cors = cors_of(changed, self._process.loaded.settings.cors_origins)
            env = read_environment(changed, os.environ)
            aimed = aim(changed, self._database.dialect)
            # On another thread: requests are answered while a large program is compiled.
            found, caching = await asyncio.to_thread(self._compiled, aimed)
            self._flow.compiled(aimed)
            await self._store.adopt(aimed)
            self._env.update(env)
            before = {check.name for check in self._process.board_checks}
            await self._flow.serve(aimed)
            self._database.watch(caching.tables)
            self._process.board_checks += [
                check for check in self._flow.checks if check.name not in before
            ]
            app.serve(found)
            app.cors = cors
            served = aimed

        return swap

    def _compiled(self, program: Program) -> tuple[list[Endpoint], Caching]:
        flow = self._flow
        process, settings = self._process, self._process.loaded.settings
        runtime = Runtime(
            program,
            self._database,
            process.clock,
            process.ids,
            self._env,
            flow.starter(program.hash),
            flow.emitter(program.hash),
            Grants(program),
            settings.audit == "all",
        )
        bounds = Bounds(program, process.clock)
        caching = Caching(program, self._cache, process.registry)
        declared = endpoints(runtime, compile_endpoints(program), settings.max_body)
        hooks = incoming_routes(program, flow, process.clock, self._env)
        routes = [*bounds.over(caching.over(declared)), *hooks, *flow_routes(flow), *self._fixed]
        routes += described_routes(program, routes)
        if settings.audit != "off":
            routes = audited(routes, self._database, process.clock, process.ids)
        return routes, caching
