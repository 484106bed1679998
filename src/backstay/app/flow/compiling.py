"""From the checked program to plans: workflows, then jobs, which may be workflows of their own."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.flow import old
from backstay.app.flow.empty import compile_empty
from backstay.app.flow.listening import compile_events
from backstay.app.flow.model import tries_of
from backstay.app.flow.plans import (
    WIDTH,
    CheckPlan,
    EachPlan,
    InputPlan,
    JobPlan,
    ProgramPlan,
    Stage,
    StepPlan,
    WorkflowPlan,
    priority_of,
)
from backstay.app.flow.reactions import on_fail, on_success
from backstay.app.flow.work import (
    Block,
    compile_body,
    compile_undo,
    compile_work,
    message_of,
    with_options,
)
from backstay.app.plan.acts import event_of, names_of, wanted
from backstay.app.plan.bodies import Body
from backstay.app.plan.expressions import compile_expr
from backstay.app.plan.statements import compile_block
from backstay.app.plan.unit import Closure
from backstay.app.values import codec
from backstay.core.errors import Fault
from backstay.lang.program import (
    Act,
    ActStep,
    Constant,
    DoStep,
    Job,
    ListType,
    ManyType,
    ParallelStep,
    Program,
    RecordType,
    Retry,
    RowType,
    Step,
    Trigger,
    Type,
    UnknownType,
    Work,
    Workflow,
)

ON_COMPLETE = "on_complete"


def compile_program(program: Program) -> ProgramPlan:
    """All plans of a checked program. Raises APP004 or APP005 for what could never run."""
    flows = {flow.name: _workflow(program, flow) for flow in program.workflows}
    jobs, inner = _jobs(program)
    return ProgramPlan(
        hash=program.hash,
        workflows=flows,
        jobs=jobs,
        events=compile_events(program, flows),
        inner=inner,
    )


def _workflow(program: Program, flow: Workflow, job: str = "") -> WorkflowPlan:
    where = f"workflow {flow.name}" if not job else f"job {job}"
    given = input_plan(program, flow)
    steps, stages, closing = _steps(program, flow, _names(given), where)
    return WorkflowPlan(
        name=flow.name,
        description=flow.description,
        timeout=flow.timeout,
        steps=steps,
        stages=stages,
        closing=closing,
        on_fail=compile_body(program, flow.on_fail, names_of(_names(given)), f"{where}: on_fail"),
        input=given,
        again=tries_of(flow.retry or Retry()),
        trigger=flow.trigger,
        signals={field.name: codec(program, field.type).parse for field in flow.signals},
        named=tuple((step.into, step.name) for step in steps if step.into),
        awaits=_awaits(program, flow, steps, where),
        job=job,
    )


def _awaits(
    program: Program, flow: Workflow, steps: Sequence[StepPlan], where: str
) -> frozenset[str]:
    """The events that steps wait for. Raises APP005 for what is neither signal nor event."""
    signals = {field.name for field in flow.signals}
    found = set()
    for step in steps:
        name = step.work.target
        if step.work.kind != "signal" or name in signals:
            continue
        event = event_of(program, name)
        if event is None or event.name != name:
            problem = f"there is no signal {name} to wait for"
            instead = f"declare it: signals {{ {name}: bool }}"
            raise Fault(UNFIT, where=f"{where}: step {step.name}", problem=problem, instead=instead)
        found.add(name)
    return frozenset(found)


# --- input -------------------------------------------------------------------------------------


def input_plan(program: Program, flow: Workflow) -> InputPlan:
    """The input of a workflow, the payload of the event that starts it included."""
    fields = wanted(program, flow)
    event = flow.trigger and event_of(program, flow.trigger.event)
    payload = tuple(field.name for field in event.payload) if event else ()
    free = bool(flow.trigger and flow.trigger.kind == "event" and event is None)
    codecs = {field.name: codec(program, field.type) for field in fields}

    def shape(values: Mapping[str, object]) -> str:
        shaped = {
            name: codecs[name].shape(value) if name in codecs else value
            for name, value in values.items()
        }
        return msgspec.json.encode(shaped).decode()

    def parse(text: str) -> dict[str, object]:
        stored: dict[str, object] = msgspec.json.decode(text)
        values = {name: kind.parse(stored.get(name)) for name, kind in codecs.items()}
        if free:
            values["event"] = stored.get("event")
        elif payload:
            values["event"] = {name: values[name] for name in payload}
        return values

    body = Body(program, RecordType(fields))
    return InputPlan(fields, body, shape, parse, body.fill, payload, free)


def _names(given: InputPlan) -> frozenset[str]:
    also = {"event"} if given.event or given.free else set()
    return frozenset({field.name for field in given.fields} | also)


# --- steps -------------------------------------------------------------------------------------


def _steps(
    program: Program, flow: Workflow, names: frozenset[str], where: str
) -> tuple[tuple[StepPlan, ...], tuple[Stage, ...], int]:
    """Steps, stages, and which of these is on_complete, or would be."""
    plans: list[StepPlan] = []
    stages: list[Stage] = []
    known = set(names)
    for together in _stages(flow.steps):
        first = len(plans)
        for step in together:
            place = f"{where}: step {step.name}"
            plans.append(_step(program, step, len(stages), frozenset(known), place))
        known |= {step.into for step in together if step.into and step.for_each is None}
        stages.append((first, len(plans) - 1))
    last = compile_body(
        program, flow.on_complete, names_of(frozenset(known)), f"{where}: at its end"
    )
    closing = len(stages)
    if last is not None:
        stages.append((len(plans), len(plans)))
        plans.append(StepPlan(ON_COMPLETE, last, tries_of(Retry()), 0.0, len(stages) - 1))
    return tuple(plans), tuple(stages), closing


def _stages(steps: Sequence[Step]) -> Iterator[list[Step]]:
    for step in steps:
        if not isinstance(step.work, ParallelStep):
            yield [step]
        elif step.work.steps:
            yield [each for part in _stages(step.work.steps) for each in part]


def _step(program: Program, step: Step, stage: int, names: frozenset[str], where: str) -> StepPlan:
    each = _each(program, step) if step.for_each is not None else None
    offer = names_of(names | set(each.names) if each else names)
    work = compile_work(program, step.work, offer, where)
    undo = None
    if step.compensate is not None:
        undo = compile_undo(program, step, step.compensate, offer, f"{where}: compensate")
    return StepPlan(
        name=step.name,
        work=with_options(program, work, step, where),
        tries=tries_of(step.retry),
        timeout=step.timeout,
        stage=stage,
        when=_when(program, step),
        check=_check(program, step),
        undo=undo,
        each=each,
        into="" if each else step.into,
        on_success=on_success(program, step.on_success, offer, f"{where}: on_success"),
        on_fail=on_fail(program, step.on_fail, offer, f"{where}: on_fail"),
        on_empty=compile_empty(program, step, offer, f"{where}: on_empty"),
    )


def _when(program: Program, step: Step) -> Closure | None:
    """`when`, and `if`, which means the same."""
    also = next((value for name, value in step.options if name == "if"), None)
    found = [compile_expr(program, step.when)] if step.when is not None else []
    if isinstance(also, Constant) and isinstance(also.value, str):
        found.append(old.condition(also.value, f"step {step.name}"))
    elif also is not None:
        found.append(compile_expr(program, also))
    if len(found) < 2:
        return found[0] if found else None
    return lambda unit, scope: found[0](unit, scope) and found[1](unit, scope)


def _check(program: Program, step: Step) -> CheckPlan | None:
    if step.check is None:
        return None
    message = message_of(program, step.check.message, "its check does not hold")
    return CheckPlan(compile_expr(program, step.check.condition), message)


def _each(program: Program, step: Step) -> EachPlan:
    assert step.for_each is not None  # noqa: S101 - the caller saw to it
    kind = codec(program, _list_of(step.for_each.type))
    names = ("item", "index", *((step.into,) if step.into else ()))
    width = next((value for name, value in step.options if name == "parallel"), None)
    count = width.value if isinstance(width, Constant) else WIDTH
    if not isinstance(count, int) or not 1 <= count <= 1000:
        instead = "write a number from 1 to 1000"
        raise Fault(
            UNFIT, where=f"step {step.name}", problem="parallel is no number", instead=instead
        )
    items = compile_expr(program, step.for_each)
    return EachPlan(items, kind.shape, kind.parse, names, count)


def _list_of(kind: Type) -> Type:
    if isinstance(kind, ManyType):
        return ListType(RowType(kind.entity))
    return kind if isinstance(kind, ListType) else ListType(UnknownType())


# --- jobs --------------------------------------------------------------------------------------


def _jobs(program: Program) -> tuple[dict[str, JobPlan], dict[str, WorkflowPlan]]:
    jobs: dict[str, JobPlan] = {}
    inner: dict[str, WorkflowPlan] = {}
    for job in program.jobs:
        flow = _of_job(job)
        if flow is None:
            jobs[job.name] = JobPlan(job, block=_body(program, job))
        else:
            plan = _workflow(program, flow, job.name)
            priority = priority_of(job.queue)
            inner[flow.name] = msgspec.structs.replace(plan, priority=priority)
            jobs[job.name] = JobPlan(job, workflow=flow.name)
    for flow in program.workflows:
        trigger = flow.trigger
        if trigger is not None and trigger.kind == "schedule":
            made = _scheduled(flow, trigger)
            jobs[made.job.name] = made
    return jobs, inner


def _body(program: Program, job: Job) -> Block:
    found = compile_body(program, job.body, names_of(frozenset()), f"job {job.name}")
    return found.block if found and found.block else compile_block(program, ())


def _of_job(job: Job) -> Workflow | None:
    """A job that is more than one transaction, as a workflow; None for one that is not."""
    steps = job.steps
    retry = job.retry or Retry()
    outside = len(job.body) == 1 and isinstance(job.body[0], Act)
    if job.task is not None:
        steps = (Step("task", job.task, retry=retry),)
    elif not steps:
        more = job.retry or job.on_complete or job.on_fail or outside
        if not more:
            return None
        steps = (Step("do", _work_of(job), retry=retry),)
    return Workflow(
        name=f"job:{job.name}",
        input=(),
        steps=steps,
        timeout=job.timeout or 86400.0,
        on_fail=job.on_fail,
        description=job.description,
        on_complete=job.on_complete,
        retry=job.retry if job.steps else None,
    )


def _work_of(job: Job) -> Work:
    if len(job.body) == 1 and isinstance(job.body[0], Act):
        return ActStep("action", job.body[0])
    return DoStep(job.body)


def _scheduled(flow: Workflow, trigger: Trigger) -> JobPlan:
    """The job that starts a workflow by the clock."""
    for field in flow.input:
        if field.required and field.default is None:
            problem = f"nothing gives its input '{field.name}' when the clock starts it"
            instead = "give the input a default, or start it from a job"
            raise Fault(UNFIT, where=f"workflow {flow.name}", problem=problem, instead=instead)
    job = Job(
        f"workflow:{flow.name}",
        trigger.schedule,
        "UTC",
        (),
        description=f"starts {flow.name}",
        every=trigger.every,
    )
    return JobPlan(job, workflow=flow.name)
