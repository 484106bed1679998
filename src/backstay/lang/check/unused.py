"""Declarations that nothing in the program speaks of: a warning for each."""

from backstay.lang import errors as e
from backstay.lang.check.world import Checker, EventInfo, FunctionInfo, IntegrationInfo, name_span
from backstay.lang.diagnostics import Span
from backstay.lang.reports import Reports


def unused(k: Checker) -> None:
    """Functions, events, integrations, roles, providers and middleware that are never used.

    Workflows are left out: people start them from outside.
    """
    world = k.world
    if world.incomplete:
        return
    infos: list[tuple[str, EventInfo | FunctionInfo | IntegrationInfo]] = [
        *(("function", each) for each in world.functions.values()),
        *(("event", each) for each in world.events.values()),
        *(("integration", each) for each in world.integrations.values()),
    ]
    for kind, info in infos:
        if info.name not in world.used.get(kind, ()):
            _say(info.reports, name_span(info), kind, info.name)


def _say(reports: Reports, span: Span, what: str, name: str) -> None:
    reports.add(e.UNUSED, span, what=what, name=name)
