"""From trees to a `Program`: names first, then types, then everything that uses them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.databases import databases
from backstay.lang.check.declared import middleware, provider, role
from backstay.lang.check.documents import collect_models, model_entity, model_fields
from backstay.lang.check.endpoints import EndpointCheck, route_of
from backstay.lang.check.entities import declare_fields, entity, find_ways_back
from backstay.lang.check.events import declare_event, event, handler
from backstay.lang.check.graph import endless
from backstay.lang.check.jobs import job
from backstay.lang.check.models import models
from backstay.lang.check.outside import config, declare_operations, integration
from backstay.lang.check.scope import Scope
from backstay.lang.check.scripts import declare_function, function, script
from backstay.lang.check.tests import Tests
from backstay.lang.check.unused import unused
from backstay.lang.check.webhooks import webhook
from backstay.lang.check.workflows import WorkflowCheck, declare_input
from backstay.lang.check.world import Checker, collect
from backstay.lang.diagnostics import Related, Span
from backstay.lang.reports import Reports

T = TypeVar("T")
Sources = tuple[tuple[str, str], ...]


def check(files: Sequence[tuple[s.File, Reports]], sources: Sources, digest: str) -> p.Program:
    """The program of these trees. It may be served only when no error was reported."""
    world = collect(files)
    collect_models(world, files)
    k = Checker(world, files[0][1] if files else Reports(""))
    settings = config(k, list(_of_kind(files, "config")))
    for info in world.entities.values():
        (model_fields if info.model else declare_fields)(k, info)
    for info in world.entities.values():
        if not info.model:
            find_ways_back(k, info)
    for workflow in world.workflows.values():
        declare_input(k, workflow)
    for outside in world.integrations.values():
        declare_operations(k, outside)
    for event_info in world.events.values():
        declare_event(k, event_info)
    for function_info in world.functions.values():
        declare_function(k, function_info)
    statements, scope = script(k, _with_statements(files))
    entities = tuple(
        (model_entity if info.model else entity)(k, info) for info in world.entities.values()
    )
    if not any(info.broken or info.key is None for info in world.entities.values()):
        k.entities = p.Program("", "", "", (), None, entities, (), (), (), ())
    hooks = tuple(_each(k, files, "webhook", webhook))
    made = p.Program(
        name=settings.name,
        version=settings.version,
        hash=digest,
        sources=sources,
        auth=settings.auth,
        entities=entities,
        integrations=tuple(integration(k, info) for info in world.integrations.values()),
        endpoints=tuple(_endpoints(k, files)),
        workflows=tuple(WorkflowCheck(k, info).run() for info in world.workflows.values()),
        jobs=tuple(_jobs(k, files)),
        events=tuple(event(k, info) for info in world.events.values()),
        handlers=tuple(_handlers(k, files)),
        functions=tuple(function(k, info, scope) for info in world.functions.values()),
        roles=tuple(_each(k, files, "role", role)),
        providers=tuple(_each(k, files, "auth", provider)),
        middleware=tuple(_each(k, files, "middleware", middleware)),
        webhooks=tuple(each for each in hooks if isinstance(each, p.Webhook)),
        incoming=tuple(each for each in hooks if isinstance(each, p.Incoming)),
        models=tuple(_models(k, files)),
        script=statements,
        tests=tuple(_tests(k, files, scope)),
        settings=settings.settings,
    )
    databases(k, files)
    if not any(each.severity == "error" for _, reports in files for each in reports.found):
        # What a mistake keeps from being read would seem to be missing or unused.
        endless(k, made.workflows)
        unused(k, made, {reports.file: reports for _, reports in files})
    return msgspec.structs.replace(made, uses=_uses(files))


def _uses(files: Sequence[tuple[s.File, Reports]]) -> tuple[tuple[str, tuple[p.Place, ...]], ...]:
    found: dict[str, list[p.Place]] = {}
    for _, reports in files:
        for construct, spans in reports.uses.items():
            places = [p.Place(each.file, each.line, each.column) for each in spans]
            found.setdefault(construct, []).extend(places)
    return tuple((name, tuple(found[name])) for name in sorted(found))


def _with_statements(
    files: Sequence[tuple[s.File, Reports]],
) -> Iterator[tuple[Reports, s.Declaration]]:
    for file, reports in files:
        for declaration in file.declarations:
            if declaration.statement is not None:
                yield reports, declaration


def _each(
    k: Checker,
    files: Sequence[tuple[s.File, Reports]],
    kind: str,
    make: Callable[[Checker, s.Declaration], T],
) -> Iterator[T]:
    for reports, node in _of_kind(files, kind):
        k.turn_to(reports, node)
        yield make(k, node)


def _handlers(k: Checker, files: Sequence[tuple[s.File, Reports]]) -> Iterator[p.Handler]:
    for reports, node in _of_kind(files, "on"):
        k.turn_to(reports, node)
        if isinstance(node.statement, s.HandlerNode):
            yield handler(k, node.statement)


def _models(k: Checker, files: Sequence[tuple[s.File, Reports]]) -> Iterator[p.Model]:
    seen: dict[str, Span] = {}
    for reports, node in _of_kind(files, "database"):
        k.turn_to(reports, node)
        yield from models(k, node, seen)


def _of_kind(
    files: Sequence[tuple[s.File, Reports]], kind: str
) -> Iterator[tuple[Reports, s.Declaration]]:
    for file, reports in files:
        for declaration in file.declarations:
            if declaration.keyword.name == kind:
                yield reports, declaration


def _endpoints(k: Checker, files: Sequence[tuple[s.File, Reports]]) -> Iterator[p.Endpoint]:
    routes: dict[str, Span] = {}
    for reports, node in _of_kind(files, "endpoint"):
        k.turn_to(reports, node)
        made = EndpointCheck(k, node).run()
        span = reports.at(node.path.span if node.path else node.span)
        first = routes.setdefault(route_of(made), span)
        if first is not span:
            related = (Related(first, "first declared here"),)
            name = f"{made.method} {made.path}"
            reports.add(e.DUPLICATE_ROUTE, span, related=related, name=name)
        yield made


def _tests(
    k: Checker, files: Sequence[tuple[s.File, Reports]], globals_: Scope
) -> Iterator[p.Test]:
    routes = [
        (node.method.name, node.path.text)
        for _, node in _of_kind(files, "endpoint")
        if node.method and node.path
    ]
    tests = Tests(k, routes, globals_)
    for reports, node in _of_kind(files, "test"):
        k.turn_to(reports, node)
        if isinstance(node.statement, s.TestNode):
            yield tests.one(node.statement)


def _jobs(k: Checker, files: Sequence[tuple[s.File, Reports]]) -> Iterator[p.Job]:
    names: dict[str, Span] = {}
    for reports, node in _of_kind(files, "job"):
        k.turn_to(reports, node)
        name = node.name or node.keyword
        span = reports.at(name.span)
        first = names.setdefault(name.name, span)
        if first is not span:
            related = (Related(first, "first declared here"),)
            reports.add(e.DUPLICATE_DECLARATION, span, related=related, name=name.name)
        yield job(k, node)
