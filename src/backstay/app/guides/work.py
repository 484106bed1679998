"""A workflow or a job fails while the app itself is well: what does, with which words, and since
when it has nothing else to show."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen

_WORK = "app.work"
_SEVERAL = 3
"""Executions in a row that failed: one alone may be what the program wants (a declined card)."""
_UNSENT_SECONDS = 5.0
_ASKS = r"(workflow|execution|step|job|compensation)s?\b.*\b(fail|stuck|error|not run|does not)"
_BY_CALL = re.compile(r"circuit breaker is open|(^|: )\w+\.\w+(:| answered| did not answer)")
"""How the error of a step that calls a service reads."""
_READINGS = ("works", "failed-some", "fails", "by-call", "job-fails", "not-sent", "undo-lost")


async def _look_at_work(target: Target) -> Evidence:
    found = await look_inside(_WORK, target, "app", "/probe/app.work", 1.2)
    if isinstance(found, Evidence):
        return found
    facts: dict[str, Plain] = {"data": str(target.data), "url": target.base_url}
    lost = _first(found.get("lost"))
    if lost is not None:
        return seen(_WORK, "undo-lost", "fail", found, **facts, **lost)
    unsent = [
        each
        for each in found.get("outside") or ()
        if int(each.get("unsent") or 0) and float(each.get("oldest") or 0) > _UNSENT_SECONDS
    ]
    if unsent:
        return seen(_WORK, "not-sent", "fail", found, **facts, **unsent[0])
    job = _first(found.get("jobs"))
    if job is not None:
        return seen(_WORK, "job-fails", "fail", found, **facts, **job)
    failed = sorted(found.get("workflows") or (), key=lambda one: -int(one.get("in_a_row") or 0))
    if not failed:
        return seen(_WORK, "works", "pass", found, **facts)
    worst = dict(failed[0])
    row = int(worst.pop("in_a_row", 0) or 0)
    reading = "by-call" if _BY_CALL.search(str(worst.get("error") or "")) else "fails"
    if row >= _SEVERAL:
        return seen(_WORK, reading, "fail", found, in_a_row=row, **facts, **worst)
    # Who asks has seen one fail; nobody else is told of one.
    if row and re.search(_ASKS, target.text, re.IGNORECASE):
        return seen(_WORK, reading, "fail", found, **facts, **worst)
    return seen(_WORK, "failed-some", "pass", found, **facts, **worst)


def _first(found: Sequence[Mapping[str, Any]] | None) -> Mapping[str, Any] | None:
    return found[0] if found else None


PROBE = Probe(
    _WORK,
    "which workflows and jobs have failed of late",
    "inside",
    _READINGS,
    _look_at_work,
    1.5,
)

WORK = Guide(
    id="work",
    title="A workflow or a job fails",
    seed="codeai: Workflow Execution Failures; Recovery Procedures",
    symptoms=(
        Symptom(
            "text",
            _ASKS,
            "failing work",
        ),
        Symptom("text", r"compensation_failed|APP20[0-9]", "failing work"),
        Symptom("state", "app.work=fails", "executions fail one after the other"),
    ),
    probes=(PROBE,),
    causes=(
        Cause(
            "compensation-lost",
            "an execution of {workflow} could not be undone[[: {error}]]; a person is needed",
            0.06,
            {_WORK: {"undo-lost": 0.97}},
            ("undo", "see"),
        ),
        Cause(
            "queue-not-reached",
            "{unsent} calls of {command} have not reached the queue[[ for {oldest} seconds]]",
            0.06,
            {_WORK: {"not-sent": 0.97}},
            ("read-log", "ask-queue"),
        ),
        Cause(
            "job-fails",
            "the last run of the job {job} failed[[: {error}]]",
            0.06,
            {_WORK: {"job-fails": 0.97}},
            ("see-job", "run-job"),
        ),
        Cause(
            "workflow-fails",
            "{workflow} fails[[, {in_a_row} times in a row]][[: {error}]]",
            0.06,
            {_WORK: {"fails": 0.6, "by-call": 0.38}},
            ("see", "again"),
        ),
    ),
    fixes=(
        Fix(
            "see",
            "Read what happened, attempt by attempt",
            "codeai workflow history {execution} --base-url {url}",
            "none",
        ),
        Fix(
            "again",
            "Once its cause is mended: run it again, under the same keys",
            "codeai workflow retry {execution} --base-url {url}",
            "data",
        ),
        Fix(
            "undo",
            "Once the target answers again: finish the undoing, under the same keys",
            "codeai workflow compensate {execution} --base-url {url}",
            "data",
        ),
        Fix("see-job", "Read its runs", "codeai job runs --job {job} --base-url {url}", "none"),
        Fix("run-job", "Once mended: run it now", "codeai job run {job} --base-url {url}", "data"),
        Fix("read-log", "Read why", "backstay logs app --data {data}", "none"),
        Fix(
            "ask-queue",
            "See whether the queue answers where the app looks for it",
            "curl -s $CODEQ_BASE_URL/healthz",
            "none",
        ),
    ),
    escalation="nothing is lost meanwhile: executions wait in the app's database, and effects that"
    " may have happened are undone or shown",
)
