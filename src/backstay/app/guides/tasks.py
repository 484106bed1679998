"""Tasks pile up: which, how many, where they wait, and what they keep others from."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from backstay.app.guides.inside import all_late, may_show
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import listener, look_inside, seen
from backstay.core.room import open_files

_TASKS = "app.tasks"
_FULL = 0.95
_MANY = 20
_GROWN = 50
_LOOKS = 3
_SENDING = 3.0
_STANDING = 5.0
"""Seconds after which many that wait are no busy moment any more."""
_CALLS = "Runner._fly"
_REQUESTS = "future_watcher"


async def _look_at_tasks(target: Target) -> Evidence:
    files, most = open_files(listener(target, "app"))
    if most and files >= _FULL * most:
        # Asked from outside: without a file it cannot even take our question.
        facts: dict[str, Plain] = {"files": files, "most_files": most, "data": str(target.data)}
        return seen(_TASKS, "files", "fail", **facts, port=urlsplit(target.base_url).port)
    found = await look_inside(_TASKS, target, "app", "/probe/app.tasks", 1.2)
    if isinstance(found, Evidence):
        return found
    facts = {
        "total": found.get("total"),
        "url": target.base_url,
        "port": urlsplit(target.base_url).port,
        "data": str(target.data),
    }
    reading, more = _full(found)
    if not reading:
        reading, more = _standing(found)
    if not reading and _calls_pile_up(found):
        reading, more = await _of_calls(target, found)
    if not reading:
        reading, more = _grown(found)
    if not reading:
        return seen(_TASKS, "few", "pass", found, **facts)
    return seen(_TASKS, reading, "fail", found, **facts, **more)


def _full(found: Mapping[str, Any]) -> tuple[str, dict[str, Plain]]:
    """Whether there is no place for another connection."""
    most = int(found.get("most_connections") or 0)
    if most and int(found.get("connections") or 0) >= _FULL * most:
        told = ("connections", "most_connections", "waiting")
        return "connections", {name: found.get(name) for name in told}
    return "", {}


def _standing(found: Mapping[str, Any]) -> tuple[str, dict[str, Plain]]:
    """Requests that do not get on, and clients that do not take their answers."""
    for each in found.get("requests") or ():
        body = each["where"] == "body"
        if int(each["count"]) >= _MANY and float(each["oldest"]) >= (
            _SENDING if body else _STANDING
        ):
            return "senders" if body else "requests", dict(each)
    if int(found.get("deaf") or 0) >= _MANY:
        held = int(found.get("held") or 0) // 1024
        return "deaf", {"deaf": found.get("deaf"), "held_kb": held}
    return "", {}


def _calls_pile_up(found: Mapping[str, Any]) -> bool:
    calls = int(found.get("calls") or 0)
    if calls >= _FULL * int(found.get("most_calls") or 1):
        return True
    return calls >= _MANY and any(_is(each, _CALLS) for each in _more(found, _MANY))


async def _of_calls(target: Target, found: Mapping[str, Any]) -> tuple[str, dict[str, Plain]]:
    """Whose calls they are; none when even the oldest is young."""
    told = await look_inside(_TASKS, target, "app", "/probe/app.integrations")
    if isinstance(told, Evidence):
        return "", {}
    worst = max(
        (dict(each, name=name) for name, each in (told.get("integrations") or {}).items()),
        key=lambda each: int(each.get("under_way") or 0),
        default={},
    )
    if float(worst.get("oldest_seconds") or 0) < _STANDING:
        return "", {}
    return "calls", {
        "name": str(worst["name"]).rpartition(":")[2],
        "base_url": worst.get("base_url"),
        "under_way": worst.get("under_way"),
        "oldest": worst.get("oldest_seconds"),
        "calls": found.get("calls"),
        "most_calls": found.get("most_calls"),
    }


def _grown(found: Mapping[str, Any]) -> tuple[str, dict[str, Plain]]:
    for each in _more(found, _GROWN):
        # Requests and calls come and go; how old they are has been asked.
        if not _is(each, _CALLS) and not _is(each, _REQUESTS):
            return "grow", dict(each)
    return "", {}


def _more(found: Mapping[str, Any], by: int) -> list[Mapping[str, Any]]:
    return [
        each
        for each in found.get("grown") or ()
        if int(each["looks"]) >= _LOOKS and int(each["count"]) - int(each["before"]) >= by
    ]


def _is(each: Mapping[str, Any], made: str) -> bool:
    return str(each["made"]).endswith(made)


TASKS = Probe(
    _TASKS,
    "which tasks pile up, and where they wait",
    "inside",
    ("few", "files", "connections", "senders", "requests", "deaf", "calls", "grow"),
    _look_at_tasks,
    deadline=2.0,
)


def _cause(id: str, reading: str, says: str, *fixes: str, **more: Mapping[str, float]) -> Cause:
    return Cause(id, says, 0.05, {_TASKS: {reading: 0.97}, **more}, fixes)


_HELD = {"requests": 0.2}
"""What they hold of the memory is told by its own guide, and follows."""

APP_TASKS = Guide(
    id="app-tasks",
    title="Tasks of the app pile up",
    seed="codeai: Goroutine Leak Detection; Memory Profiling (goroutine leaks)",
    symptoms=(
        Symptom(
            "text",
            r"(goroutine|task|connection|file)s?\b.*(leak|grow|pile|many)|too many open files",
            "tasks or files that grow",
        ),
        Symptom("text", r"EMFILE|leak", "a leak"),
    ),
    probes=(TASKS,),
    causes=(
        _cause(
            "files-run-out",
            "files",
            "{files} of the {most_files} files that the app may open are open, connections among"
            " them",
            "more-files",
            "see-connections",
            **all_late(_TASKS, 0.3),
        ),
        _cause(
            "connections-full",
            "connections",
            "all {most_connections} connections that the app serves at once are taken[[, and"
            " {waiting} more wait to be accepted]]",
            "see-connections",
            "restart",
        ),
        _cause(
            "clients-send-slowly",
            "senders",
            "{count} clients of {method} {route} have begun a body and do not send it, the oldest"
            " for {oldest} s",
            "see-connections",
            "stacks",
            **may_show(requests={"senders": 0.2}, memory=_HELD),
        ),
        _cause(
            "requests-stand",
            "requests",
            "{count} requests of {method} {route} do not get on, the oldest for {oldest} s[[: they"
            " wait in {place}]]",
            "stacks",
            "see-connections",
            **may_show(memory=_HELD),
        ),
        _cause(
            "clients-do-not-read",
            "deaf",
            "{deaf} clients do not take their answers: {held_kb} KiB are on their way to them",
            "see-connections",
            "restart",
            **may_show(memory={"answers": 0.2}),
        ),
        _cause(
            "calls-stand",
            "calls",
            "{under_way} calls of {name}[[ ({base_url})]] are under way, the oldest for {oldest} s;"
            " there may be {most_calls} at once",
            "shorter-timeout",
            "stacks",
            **may_show(breakers={"failures-slow": 0.2, "open-slow": 0.2}),
        ),
        _cause(
            "tasks-grow",
            "grow",
            "there are more and more tasks of {made}: {count}, {before} at the first of {looks}"
            " looks[[; they wait in {place}]]",
            "stacks",
            "restart",
        ),
    ),
    fixes=(
        Fix("more-files", "Let it open more", "ulimit -n 65536", "restart"),
        Fix(
            "see-connections",
            "See whose they are",
            "ss -tn state established '( sport = :{port} )' | sort -k2 -nr | head -50",
            "none",
        ),
        Fix(
            "stacks",
            "See all of them with what they wait for",
            "curl -s '{url}/debug/pprof/goroutine?debug=1'",
            "none",
        ),
        Fix(
            "shorter-timeout",
            "Give the operation of {name} a shorter timeout in the program; see how it fares",
            "curl -s {url}/metrics | grep integration_call",
            "none",
        ),
        Fix(
            "restart",
            "Start it anew; accepted work stays",
            "backstay restart app --data {data}",
            "restart",
        ),
    ),
    escalation="keep the output of goroutine?debug=2: it names the line in which each task waits",
)
