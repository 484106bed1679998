"""From trees to a `Program`: names first, then types, then everything that uses them."""

from collections.abc import Iterator, Sequence

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.endpoints import EndpointCheck, route_of
from backstay.lang.check.entities import declare_fields, entity, find_ways_back
from backstay.lang.check.outside import config, declare_operations, integration
from backstay.lang.check.workflows import WorkflowCheck, declare_input, job
from backstay.lang.check.world import Checker, collect
from backstay.lang.diagnostics import Related, Span
from backstay.lang.reports import Reports

Sources = tuple[tuple[str, str], ...]


def check(files: Sequence[tuple[s.File, Reports]], sources: Sources, digest: str) -> p.Program:
    """The program of these trees. It may be served only when no error was reported."""
    world = collect(files)
    k = Checker(world, files[0][1] if files else Reports(""))
    settings = config(k, list(_of_kind(files, "config")))
    for info in world.entities.values():
        declare_fields(k, info)
    for info in world.entities.values():
        find_ways_back(k, info)
    for workflow in world.workflows.values():
        declare_input(k, workflow)
    for outside in world.integrations.values():
        declare_operations(k, outside)
    return p.Program(
        name=settings.name,
        version=settings.version,
        hash=digest,
        sources=sources,
        auth=settings.auth,
        entities=tuple(entity(k, info) for info in world.entities.values()),
        integrations=tuple(integration(k, info) for info in world.integrations.values()),
        endpoints=tuple(_endpoints(k, files)),
        workflows=tuple(WorkflowCheck(k, info).run() for info in world.workflows.values()),
        jobs=tuple(_jobs(k, files)),
    )


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
