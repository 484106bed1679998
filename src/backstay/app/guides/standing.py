"""Executions stand still after a crash, a restore or a move: what holds them, and until when."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backstay.app.guides.inside import may_show
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen

_STANDING = "app.standing"
_LEFT = "app.leftovers"
_DUE = 10.0
"""Seconds that a step which could run may wait for its turn on a busy app."""
_OVER = 45.0
"""Seconds after the end of its lease in which a step is taken from a process that is gone."""
_ASKS = (
    r"\b(stuck|stands? still|hangs?|frozen|(not|never) (go on|goes on|finish|end|continue|resume))"
    r"|after (a |the )?(crash|restart|kill|restore)|recover|stale lease"
)


async def _look_for_standing(target: Target) -> Evidence:
    found = await look_inside(_STANDING, target, "app", "/probe/app.standing", 1.5)
    if isinstance(found, Evidence):
        return found
    facts: dict[str, Plain] = {"data": str(target.data), "url": target.base_url}
    for each in found.get("missing") or ():
        return seen(_STANDING, "program", "fail", found, **facts, **each)
    for kind, least in (("due", _DUE), ("overdue", 0.0)):
        for each in found.get(kind) or ():
            if float(each.get("oldest") or 0) >= least:
                return seen(_STANDING, "runner", "fail", found, **facts, **each)
    for each in found.get("leased") or ():
        if _gone(each, target):
            left = max(0.0, float(each.get("left") or 0))
            return seen(_STANDING, "leased", "fail", found, **facts, **{**each, "left": left})
    for each in found.get("given_up") or ():
        return seen(_STANDING, "undelivered", "fail", found, **facts, **each)
    return seen(_STANDING, "goes-on", "pass", found, **facts)


def _gone(leased: Mapping[str, Any], target: Target) -> bool:
    """A lease of another process is everyday life where there are several; it is worth a word when
    it has not ended in time, and to somebody who asks."""
    if float(leased.get("soonest") or 0) < -_OVER:
        return True
    return re.search(_ASKS, target.text, re.IGNORECASE) is not None


async def _look_for_leftovers(target: Target) -> Evidence:
    """What an interrupted restore leaves beside a store."""
    left = sorted(str(path) for path in target.data.glob("*.db.restoring"))
    facts: dict[str, Plain] = {"data": str(target.data)}
    if not left:
        return seen(_LEFT, "none", "pass", **facts)
    store = Path(left[0].removesuffix(".restoring"))
    return seen(_LEFT, "restoring", "fail", file=left[0], store=store.name, **facts)


STANDING = Probe(
    _STANDING,
    "does anything stand still that could go on",
    "inside",
    ("goes-on", "program", "runner", "leased", "undelivered"),
    _look_for_standing,
    deadline=2.0,
)
LEFTOVERS = Probe(
    _LEFT,
    "has a restore been interrupted",
    "outside",
    ("none", "restoring"),
    _look_for_leftovers,
)

APP_STANDING = Guide(
    id="app-standing",
    title="Executions stand still",
    seed="codeai: Recovery Procedures",
    symptoms=(
        Symptom("text", _ASKS, "work that stands still"),
        Symptom("text", r"APP204|pinned|outcome (is )?unknown", "an execution that cannot go on"),
    ),
    probes=(STANDING, LEFTOVERS),
    causes=(
        Cause(
            "program-missing",
            "{count} executions, {execution} of {workflow} among them, were begun by the program"
            " {program}, which this database does not hold",
            0.05,
            {_STANDING: {"program": 0.97}},
            ("go-on-by-served", "cancel", "restore"),
        ),
        Cause(
            "runner-stands",
            "{count} steps {step} of {workflow} could run and do not, the oldest for {oldest} s",
            0.05,
            {_STANDING: {"runner": 0.97}},
            ("read-log", "restart"),
        ),
        Cause(
            "lease-of-another",
            "another process, or one that is gone, holds {count} steps {step} of {workflow} since"
            " {oldest} s: within {left} s they are taken back and tried again under the same key",
            0.05,
            {_STANDING: {"leased": 0.97}},
            ("wait", "see"),
        ),
        Cause(
            "events-given-up",
            "{count} deliveries to {target} were given up[[: {error}]]",
            0.05,
            {
                _STANDING: {"undelivered": 0.97},
                **may_show(breakers={"open-failing": 0.2}),
            },
            ("replay", "see-events"),
        ),
        Cause(
            "restore-interrupted",
            "a restore of {store} was interrupted before it was put in place: {file} is left, and"
            " {store} is still the one from before",
            0.05,
            {_LEFT: {"restoring": 0.97}},
            ("restore-again", "remove-left"),
        ),
    ),
    fixes=(
        Fix(
            "go-on-by-served",
            "Let it go on by the program that is served, if its steps so far are the same",
            "codeai workflow migrate {execution} --base-url {url}",
            "data",
        ),
        Fix(
            "cancel",
            "Or end it",
            "codeai workflow cancel {execution} --base-url {url}",
            "data",
        ),
        Fix(
            "restore",
            "Or restore a backup that holds the program",
            "backstay down --data {data} && backstay restore BACKUP --data {data}",
            "data",
        ),
        Fix("read-log", "Read why", "backstay logs app --data {data}", "none"),
        Fix("restart", "Start it anew", "backstay restart app --data {data}", "restart"),
        Fix(
            "wait",
            "Nothing needs to be done; see it go on",
            "codeai workflow executions --status running --base-url {url}",
            "none",
        ),
        Fix("see", "See its steps", "codeai workflow executions --base-url {url}", "none"),
        Fix(
            "replay",
            "Once the target answers again: deliver it again",
            "codeai event replay {event} --base-url {url}",
            "data",
        ),
        Fix(
            "see-events",
            "See all that were given up",
            "codeai event list --state failed --base-url {url}",
            "none",
        ),
        Fix(
            "restore-again",
            "Restore again, with what was left out of the way",
            "rm {file} && backstay restore BACKUP --data {data}",
            "data",
        ),
        Fix("remove-left", "Or keep what there is, and remove what was left", "rm {file}", "none"),
    ),
    escalation="the database has every fact: codeai workflow history EXECUTION shows each attempt",
)
