"""A service that the app calls fails: it is down, it is slow, or its breaker stays open though it
is well again."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from backstay.app.guides.inside import may_show
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import (
    expected,
    fetch,
    look_inside,
    pid_life,
    process_state,
    read_state,
    seen,
)

_BREAKERS = "app.breakers"
_SERVICES = "app.services"
_SLOW_WORDS = re.compile(
    r"time(d)? ?-?out|too slow|in time|answer within|CORE03[34]|\b504\b|deadline",
    re.IGNORECASE,
)
_SLOW_SECONDS = 0.7
_SEVERAL = 3
"""Failures in a row that are no accident."""


async def _look_at_breakers(target: Target) -> Evidence:
    views = await look_inside(_BREAKERS, target, "app", "/breakers")
    if isinstance(views, Evidence):
        return views
    more = await look_inside(_BREAKERS, target, "app", "/probe/app.integrations")
    found = {} if isinstance(more, Evidence) else dict(more.get("integrations") or {})
    told = {str(target).rpartition(":")[2]: each for target, each in found.items()}
    worst = _worst(views, told)
    if worst is None:
        return seen(_BREAKERS, "none", "pass", [views, told], data=str(target.data))
    readings = told.get(_name(worst)) or {}
    timeouts = int(readings.get("timeouts_last_minute") or 0)
    facts: dict[str, Plain] = {
        "target": worst.get("target"),
        "name": _name(worst),
        "state": worst.get("state"),
        "failures": worst.get("consecutive_failures"),
        "reason": str(worst.get("reason") or readings.get("last_error") or ""),
        "timeouts_last_minute": timeouts,
        "base_url": readings.get("base_url"),
        "opened_at": worst.get("opened_at"),
        "next_probe_at": worst.get("next_probe_at"),
        "url": target.base_url,
        "data": str(target.data),
    }
    # Without a gateway before it, the process takes the order itself.
    if process_state(target, "gateway"):
        facts["gateway_target"] = worst.get("target")
    else:
        facts["socket"] = str(target.runtime / "app.ctl")
    slow = _SLOW_WORDS.search(f"{facts['reason']} {readings.get('last_error')}") is not None
    if worst.get("state") != "closed":
        reading = "open-slow" if slow else "open-failing"
        return seen(_BREAKERS, reading, "fail", [views, told], **facts)
    if slow and timeouts >= _SEVERAL:
        return seen(_BREAKERS, "failures-slow", "warn", [views, told], **facts)
    if int(worst.get("consecutive_failures") or 0) >= _SEVERAL:
        return seen(_BREAKERS, "failures", "warn", [views, told], **facts)
    return seen(_BREAKERS, "closed", "pass", [views, told], **facts)


def _worst(
    views: Sequence[Mapping[str, Any]], told: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    def badness(view: Mapping[str, Any]) -> tuple[bool, int, str]:
        name = _name(view)
        timeouts = int((told.get(name) or {}).get("timeouts_last_minute") or 0)
        failing = max(int(view.get("consecutive_failures") or 0), timeouts)
        return view.get("state") != "closed", failing, name

    return max(views, key=badness, default=None)


def _name(view: Mapping[str, Any]) -> str:
    """`Payments` of the breaker `integration:Payments`."""
    return str(view.get("target", "")).rpartition(":")[2]


async def _look_at_services(target: Target) -> Evidence:
    """Programs beside the app that serve an address: is each there, and how fast?"""
    processes = read_state(target).get("processes") or {}
    served = {
        name: one
        for name, one in sorted(processes.items())
        if not one.get("control")
        and str(one.get("address", "")).startswith("http")
        and expected(target, name)
    }
    if not served:
        return seen(_SERVICES, "none", "skip", data=str(target.data))
    looks = await asyncio.gather(
        *(_knock(name, one, 1.2 * target.patience) for name, one in served.items())
    )
    for reading in ("down", "hangs", "slow"):
        for found, facts in looks:
            if found == reading:
                facts["data"] = str(target.data)
                return seen(_SERVICES, reading, "fail", facts, **facts)
    names: list[Plain] = list(served)
    return seen(_SERVICES, "up", "pass", [facts for _, facts in looks], services=names)


async def _knock(
    name: str, one: Mapping[str, Any], deadline: float
) -> tuple[str, dict[str, Plain]]:
    address = str(one["address"])
    ended = one.get("last_exit") or {}
    facts: dict[str, Plain] = {
        "service": name,
        "address": address,
        "service_state": one.get("state"),
        "exit_reason": ended.get("reason", ""),
    }
    parts = urlsplit(address)
    url = address if parts.path not in ("", "/") else f"{address.rstrip('/')}/health"
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        reply = await fetch(url, deadline)
    except TimeoutError:
        return "hangs", facts
    except OSError as failure:
        facts["error"] = str(failure)
        dead = pid_life(one.get("pid")) == "dead"
        facts["pid_is"] = "dead" if dead else "alive"
        return "down", facts
    took = loop.time() - began
    facts["answered"] = reply.status
    facts["seconds"] = round(took, 3)
    return ("slow" if took > _SLOW_SECONDS else "up"), facts


BREAKERS = Probe(
    _BREAKERS,
    "what the app's circuit breakers have seen",
    "inside",
    ("closed", "open-slow", "open-failing", "failures", "failures-slow", "none"),
    _look_at_breakers,
)
SERVICES = Probe(
    _SERVICES,
    "do the services beside the app answer",
    "outside",
    ("up", "down", "slow", "hangs", "none"),
    _look_at_services,
    deadline=1.5,
)

INTEGRATION = Guide(
    id="integration",
    title="A service that the app calls fails",
    seed="codeai: Circuit breaker (C16, C17)",
    symptoms=(
        Symptom("text", r"circuit breaker (is open|state changed)|CORE020", "an open breaker"),
        Symptom("text", r"payment|charge|CORE03[0-5]", "failing calls"),
        Symptom("metric", "circuit_breaker_state>0", "a breaker that is not closed"),
        Symptom("state", "app.breakers=open-failing", "an open breaker"),
    ),
    probes=(BREAKERS, SERVICES),
    causes=(
        Cause(
            "service-down",
            "the service {service} is down[[: the app's calls to {name} fail]][[ ({error})]]",
            0.05,
            {
                _SERVICES: {"down": 0.95},
                _BREAKERS: {"open-failing": 0.5, "failures": 0.2, "closed": 0.2, "none": 0.05},
                **may_show(work={"by-call": 0.3}),
            },
            ("restart-service", "read-service", "reset-breaker"),
        ),
        Cause(
            "target-down",
            "the app's calls to {name} fail, so its breaker is {state}[[: {reason}]]",
            0.05,
            {
                _SERVICES: {"up": 0.85},
                _BREAKERS: {"open-failing": 0.7, "failures": 0.27},
                **may_show(work={"by-call": 0.3}),
            },
            ("look-at-target", "reset-breaker"),
        ),
        Cause(
            "target-slow",
            "the service {name} is too slow: calls to it time out[[ ({reason})]]",
            0.05,
            {
                _BREAKERS: {"open-slow": 0.5, "failures-slow": 0.3, "closed": 0.15},
                _SERVICES: {"up": 0.6, "slow": 0.2, "hangs": 0.18},
                **may_show(work={"by-call": 0.3}),
            },
            ("look-at-target", "reset-breaker"),
        ),
    ),
    fixes=(
        Fix(
            "restart-service",
            "Start the service anew",
            "backstay restart {service} --data {data}",
            "restart",
        ),
        Fix("read-service", "Read why it ended", "backstay logs {service} --data {data}", "none"),
        Fix(
            "look-at-target",
            "Find out what keeps {name} busy or broken; here is what the app saw",
            "backstay logs app --data {data}",
            "none",
        ),
        Fix(
            "reset-breaker",
            "Once it is well: let calls through at once [[instead of at {next_probe_at}]]",
            "[[backstay gateway reset app/{gateway_target} --url {url}]][[curl -s -X POST"
            " --unix-socket {socket} http://localhost/breakers/{target}/reset]]",
            "none",
        ),
    ),
    escalation="calls whose outcome is unknown are compensated by the workflow; nothing is charged"
    " twice, as the idempotency key stays the same",
)
