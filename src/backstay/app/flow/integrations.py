"""All integrations of a process: their targets by name, and what is seen of them.

The step's policy is the only owner of retries inside workflows (decision 15).
"""

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.flow.dead_letters import command_of
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Outcome
from backstay.app.flow.turn import Claim
from backstay.app.outside import body_signature, credentials
from backstay.app.outside.instead import instead_of
from backstay.app.outside.returned import expectations
from backstay.app.outside.target import Target, Tools
from backstay.app.outside.values import Environment, headers_of, key_header, seconds_of
from backstay.core.breaker import Breaker, BreakerSettings
from backstay.core.clock import Clock
from backstay.core.errors import Fault, Plain
from backstay.core.health import Check
from backstay.lang.program import Integration, Program

_CHECK_EVERY = 5.0


class Integrations:
    """All targets by the name of their integration. `allow` are egress rules of the settings;
    `breakers` is the process's table, shown on its control socket."""

    def __init__(
        self,
        clock: Clock,
        metrics: FlowMetrics,
        breakers: dict[str, Breaker],
        env: Environment,
        allow: tuple[str, ...] = (),
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._breakers = breakers
        self._env = env
        self._allow = allow
        self._tools = Tools()
        self._targets: dict[str, Target] = {}
        self.timeouts: dict[str, float] = {}
        """Seconds by integration, and by `Integration.operation` where that has its own."""
        self.dead_letters: dict[str, str] = {}
        """By integration: the command of the tasks that calls become which are given up."""
        metrics.read_breakers(lambda: {b.target: b.state for b in breakers.values()})

    def equip(self, tools: Tools) -> None:
        """Tracer and cache, before the first program is added."""
        self._tools = tools

    def add(self, program: Program) -> None:
        """Take the integrations of the program being served: addresses are replaced, operations
        added to, since pinned executions may still need old ones. Raises APP005 for settings that
        could never work, before any is taken."""
        check(program)
        for declared in program.integrations:
            self._add(declared).expect(expectations(program, declared))

    def _add(self, declared: Integration) -> Target:
        name = f"integration:{declared.name}"
        if name not in self._breakers:
            self._breakers[name] = Breaker(name, self._clock, breaker_of(declared))
        self._breakers[name].configure(breaker_of(declared))
        known = self._targets.get(declared.name)
        if known is None:
            known = self._targets[declared.name] = Target(
                declared.name, self._clock, self._metrics, self._breakers[name], self._tools
            )
        known.configure(declared, self._env, self._allow)
        self.timeouts[declared.name] = declared.timeout
        self.timeouts.update(_timeouts(declared))
        self.dead_letters[declared.name] = command_of(declared)
        return known

    def add_missing(self, program: Program) -> None:
        """Take what only an old program declares, for the executions pinned to it."""
        for declared in program.integrations:
            known = self._targets.get(declared.name)
            if known is None:
                self.add(msgspec.structs.replace(program, integrations=(declared,)))
            else:
                known.learn(declared.operations)
                for place, seconds in _timeouts(declared).items():
                    self.timeouts.setdefault(place, seconds)

    async def call(self, claim: Claim) -> Outcome:
        """Make a leased call. Never raises but for cancellation."""
        integration, _, operation = claim.target.partition(".")
        target = self._targets.get(integration)
        if target is None:
            return Outcome("failed", error=f"integration {integration} is not declared any more")
        try:
            return await target.call(operation, claim.payload, claim.key, claim.timeout)
        except Exception as trouble:  # noqa: BLE001 - whatever it was, the call may have left
            return Outcome("unknown", error=f"{type(trouble).__name__}: {trouble}")

    def checks(self) -> list[Check]:
        """One non-critical health check for each integration (C17)."""
        return [
            Check(f"integration:{name}", False, 1.0, _CHECK_EVERY, target.check)
            for name, target in self._targets.items()
        ]

    def readings(self) -> dict[str, Plain]:
        """What the doctor asks for, under the names that the breakers have."""
        return {target.breaker_name: target.readings() for target in self._targets.values()}

    async def close(self) -> None:
        """Close all pools."""
        for target in self._targets.values():
            await target.close()


def breaker_of(declared: Integration) -> BreakerSettings:
    rule = declared.breaker
    return BreakerSettings(rule.threshold, rule.open_seconds, rule.probes, rule.window)


def _timeouts(declared: Integration) -> dict[str, float]:
    """Seconds of each operation."""
    found: dict[str, float] = {}
    for operation in declared.operations:
        place = f"{declared.name}.{operation.name}"
        own = seconds_of(dict(operation.settings).get("timeout"), f"timeout of {place}")
        found[place] = own or declared.timeout
    return found


def check(program: Program) -> None:
    """Raises APP005 for what could never work in an integration of the program."""
    for declared in program.integrations:
        _check(declared)


def _check(declared: Integration) -> None:
    credentials.check(declared)
    body_signature.check(declared)
    command_of(declared)
    where = f"integration {declared.name}"
    seconds_of(dict(declared.settings).get("default_cache_ttl"), f"{where}: default_cache_ttl")
    headers_of(declared, None, {})
    for operation in declared.operations:
        place = f"{where}: {operation.name}"
        headers_of(declared, operation, {})
        instead_of(declared, operation)
        key_header(declared, operation)
        seconds_of(dict(operation.settings).get("timeout"), f"{place}: timeout")
        kept = seconds_of(dict(operation.settings).get("cache"), f"{place}: cache")
        if kept is not None and operation.method != "GET":
            problem = f"the answer of a {operation.method} is not kept: it may change something"
            raise Fault(UNFIT, where=place, problem=problem, instead="leave cache out")
