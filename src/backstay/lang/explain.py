"""What a program makes, in words: tables, routes, workflows as diagrams, events, jobs."""

from collections.abc import Iterator, Sequence

from backstay.core.duration import format_duration
from backstay.lang import program as p

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def spelled(kind: p.Type) -> str:
    """A type as a program writes it."""
    match kind:
        case p.ScalarType(name=name):
            return name
        case p.DecimalType(precision=precision, scale=scale):
            return f"decimal({precision}, {scale})"
        case p.EnumType(members=members):
            return f"enum({', '.join(members)})"
        case p.RefType(entity=entity):
            return f"ref({entity})"
        case p.ManyType(entity=entity, via=via):
            return f"list({entity}) via {via}"
        case p.ListType(item=item):
            return f"list({spelled(item)})"
        case p.RowType(entity=entity):
            return entity
        case p.RecordType(fields=fields):
            return "{ " + ", ".join(each.name for each in fields) + " }"
        case _:
            return "unknown"


def columns(entity: p.Entity) -> Table:
    """Field, type and rules of each column of an entity's table."""
    rows: list[tuple[str, ...]] = [
        (each.name, spelled(each.type), ", ".join(_rules(each))) for each in entity.fields
    ]
    return ("FIELD", "TYPE", "RULES"), rows


def _rules(field: p.Field) -> Iterator[str]:
    for name in ("primary", "auto", "required", "unique", "searchable"):
        if getattr(field, name):
            yield name
    if field.minimum is not None:
        yield f"min {field.minimum:f}"
    if field.maximum is not None:
        yield f"max {field.maximum:f}"
    if field.default is not None:
        yield "has a default"


def routes(program: p.Program) -> Table:
    """Method, path, who may call, what it does."""
    rows: list[tuple[str, ...]] = [
        (each.method, f"/api/v1{each.path}", _who(each), _does(each)) for each in program.endpoints
    ]
    return ("METHOD", "PATH", "WHO", "DOES"), rows


def _who(of: p.Endpoint) -> str:
    return f"roles {', '.join(of.roles)}" if of.roles else of.auth


def _does(of: p.Endpoint) -> str:
    match of.does:
        case p.ListOf(entity=entity, include=include):
            return f"lists {entity}" + (f" with {', '.join(include)}" if include else "")
        case p.OneOf(entity=entity):
            return f"gives one {entity}"
        case action:
            said = _body(action.body)
            return said if said != "do" else "answers"


def _statement(of: p.Statement) -> str:
    match of:
        case p.Create() | p.Update() | p.Delete() | p.Restore():
            return f"{type(of).__name__.lower()}s {of.entity}"
        case p.Start(workflow=workflow):
            return f"starts {workflow}"
        case p.Emit(event=event):
            return f"emits {event}"
        case _:
            return ""


def facts(entity: p.Entity) -> list[str]:
    """What holds for an entity's table besides its columns."""
    said = []
    for each in entity.indexes:
        kind = f"{each.kind} index" if each.kind else "unique index" if each.unique else "index"
        said.append(f"{kind} on {', '.join(each.fields)}")
    if entity.soft_delete:
        said.append("deleted rows stay, marked in deleted_at")
    return said


def jobs(program: p.Program) -> Table:
    """Name, time and work of each job."""
    rows: list[tuple[str, ...]] = [
        (
            each.name,
            f"every {format_duration(each.every)}" if each.every else each.schedule,
            each.timezone,
            _job(each),
        )
        for each in program.jobs
    ]
    return ("JOB", "WHEN", "ZONE", "DOES"), rows


def _job(job: p.Job) -> str:
    if job.task is not None:
        return _work(job.task)
    if job.steps:
        return f"{len(job.steps)} steps" if len(job.steps) > 1 else "1 step"
    return _body(job.body)


def _body(body: Sequence[p.Statement]) -> str:
    return ", ".join(dict.fromkeys(filter(None, map(_statement, body)))) or "do"


def events(program: p.Program) -> Table:
    """Each event, its payload, and who hears of it."""
    rows: list[tuple[str, ...]] = [
        (
            each.name,
            ", ".join(f"{field.name}: {spelled(field.type)}" for field in each.payload),
            ", ".join(dict.fromkeys(_hearers(program, each))) or "nobody",
        )
        for each in program.events
    ]
    return ("EVENT", "PAYLOAD", "HEARD BY"), rows


def _hearers(program: p.Program, event: p.Event) -> Iterator[str]:
    same = event.name.replace(".", "_")
    for workflow in program.workflows:
        trigger = workflow.trigger
        if trigger is not None and trigger.event.replace(".", "_") == same:
            yield f"workflow {workflow.name}"
    for handler in program.handlers:
        if handler.event.replace(".", "_") == same:
            yield f"{handler.action} {handler.target}"
    some = " on a condition" if event.when is not None else ""
    for act in event.publish:
        args = [str(arg.value) for arg in act.args if isinstance(arg, p.Constant)]
        yield f"{act.name} {', '.join(args)}".rstrip() + some


def webhooks(program: p.Program) -> Table:
    """Each webhook, the event that it carries, and whether what it sends is signed."""
    rows: list[tuple[str, ...]] = [
        (each.name, each.event, each.method, "signed" if each.secret is not None else "not signed")
        for each in program.webhooks
    ]
    rows += [(each.name, each.event, "received", each.scheme) for each in program.incoming]
    return ("WEBHOOK", "EVENT", "METHOD", "SIGNED"), rows


def diagram(workflow: p.Workflow) -> list[str]:
    """The steps from top to bottom; what is undone stands beside the step."""
    ends = (("at the end", workflow.on_complete), ("on failure", workflow.on_fail))
    said = [f"{when}: {_body(body)}" for when, body in ends if body]
    return [_start(workflow), *_drawn(workflow.steps, ""), "end", *said]


def job_diagram(job: p.Job) -> list[str]:
    """The steps of a job, as those of a workflow."""
    return [*_drawn(job.steps, ""), "end"]


def _start(workflow: p.Workflow) -> str:
    trigger = workflow.trigger
    if trigger is None or trigger.kind == "manual":
        return "start"
    what = trigger.event or trigger.schedule or f"every {format_duration(trigger.every)}"
    return f"start on {trigger.kind} {what}"


def _drawn(steps: Sequence[p.Step], lead: str) -> Iterator[str]:
    for step in steps:
        yield f"{lead}|"
        yield f"{lead}+- {step.name}: {_work(step.work)}{_remarks(step)}"
        if isinstance(step.work, p.ParallelStep):
            yield from _drawn(step.work.steps, f"{lead}|  ")


def _work(work: p.Work) -> str:
    match work:
        case p.DoStep(body=body):
            return _body(body)
        case p.CallStep(integration=integration, operation=operation):
            return f"calls {integration}.{operation}"
        case p.TaskStep(command=command):
            return f"task {command}"
        case p.ActStep(verb=verb, act=act):
            return f"{verb} {act.name}"
        case p.EmitStep(emit=emit):
            return f"emits {emit.event}"
        case p.QueryStep():
            return "query"
        case p.SignalStep(signal=signal):
            return f"waits for {signal}"
        case p.ParallelStep():
            return "at the same time"
        case _:
            return "nothing"


def _remarks(step: p.Step) -> str:
    said = []
    if step.when is not None:
        said.append("conditional")
    if step.for_each is not None:
        said.append("for each")
    if step.retry.times > 1:
        said.append(f"{step.retry.times} tries")
    if step.timeout:
        said.append(f"within {format_duration(step.timeout)}")
    if step.compensate is not None:
        said.append(f"undone by: {_work(step.compensate)}")
    return f"  ({'; '.join(said)})" if said else ""


def mermaid(workflow: p.Workflow) -> str:
    """The same as a Mermaid flowchart; dotted arrows lead to what undoes a step."""
    lines = ["flowchart TD", f'  start(["{_start(workflow)}"])']
    last = _nodes(lines, workflow.steps, ["start"], "s")
    lines.append('  finish(["end"])')
    lines += [f"  {each} --> finish" for each in last]
    return "\n".join(lines)


def _nodes(lines: list[str], steps: Sequence[p.Step], before: list[str], prefix: str) -> list[str]:
    for number, step in enumerate(steps):
        node = f"{prefix}{number}"
        lines.append(f'  {node}["{_quoted(f"{step.name}: {_work(step.work)}")}"]')
        lines += [f"  {each} --> {node}" for each in before]
        before = [node]
        if step.compensate is not None:
            undo = _quoted(f"undo {step.name}: {_work(step.compensate)}")
            lines.append(f'  {node}u["{undo}"]')
            lines.append(f"  {node} -.-> {node}u")
        if isinstance(step.work, p.ParallelStep) and step.work.steps:
            before = [
                end
                for branch, each in enumerate(step.work.steps)
                for end in _nodes(lines, [each], [node], f"{node}p{branch}_")
            ]
    return before


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")
