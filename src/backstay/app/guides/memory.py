"""The app needs much memory: what holds it, and what has grown."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen
from backstay.core.room import Room, room_of

_MEMORY = "app.memory"
_NEAR = 0.85
_MIB = 1024 * 1024
_USUAL = 200 * _MIB
"""What an app may grow to before anybody asks why."""
_GROWTH = 64 * _MIB
_HALF = 16 * _MIB
_MANY = 20
_CACHE_SHARE = 0.25


async def _look_at_memory(target: Target) -> Evidence:
    live = await look_inside(_MEMORY, target, "app", "/live")
    if isinstance(live, Evidence):
        return live
    found = await look_inside(_MEMORY, target, "app", "/probe/app.memory")
    if isinstance(found, Evidence):
        return found
    room = room_of(int(live.get("pid", 0)))
    near, grows = room.near(_NEAR), _grows(found)
    facts = _facts(found, room, target)
    if not near and not grows:
        return seen(_MEMORY, "fine", "pass", found, **facts)
    heap = await look_inside(_MEMORY, target, "app", "/probe/app.heap", 1.5)
    if not isinstance(heap, Evidence):
        facts["types"] = _types(heap.get("grown") or ())
    open_: list[Mapping[str, Any]] = found.get("requests") or []
    if sum(int(each["count"]) for each in open_) >= _MANY:
        return seen(_MEMORY, "requests", "fail", found, **facts, **open_[0])
    if int(found.get("deaf") or 0) >= _MANY:
        return seen(_MEMORY, "answers", "fail", found, **facts)
    if int(found.get("cached") or 0) >= _CACHE_SHARE * int(found["resident"]):
        return seen(_MEMORY, "cache", "fail", found, **facts)
    return seen(_MEMORY, "near-limit" if near else "grows", "fail", found, **facts)


def _grows(found: Mapping[str, Any]) -> bool:
    """Whether it is large and was growing in both halves of the last minutes: a step is none."""
    first, middle, now = (int(found[name]) for name in ("first", "middle", "resident"))
    steady = middle - first >= _HALF and now - middle >= _HALF
    return now >= _USUAL and now - first >= _GROWTH and steady


def _facts(found: Mapping[str, Any], room: Room, target: Target) -> dict[str, Plain]:
    limit: dict[str, Plain] = {"limit_mb": room.limit // _MIB, "whose": room.whose}
    return {
        **(limit if room.limit else {}),
        "used_mb": int(found["resident"]) // _MIB,
        "before_mb": int(found["first"]) // _MIB,
        "seconds": found.get("seconds"),
        "cached_mb": int(found.get("cached") or 0) // _MIB,
        "deaf": found.get("deaf"),
        "held_mb": int(found.get("held") or 0) // _MIB,
        "url": target.base_url,
        "port": urlsplit(target.base_url).port,
        "data": str(target.data),
    }


def _types(grown: Sequence[Mapping[str, Any]]) -> str:
    """`dict +1200 (of 3000), …` for the five types that grew most."""
    return ", ".join(
        f"{each['type']} +{int(each['count']) - int(each['before'])} (of {each['count']})"
        for each in grown[:5]
    )


MEMORY = Probe(
    _MEMORY,
    "is the app near the end of its memory or growing, and what holds it",
    "inside",
    ("fine", "requests", "answers", "cache", "grows", "near-limit"),
    _look_at_memory,
    deadline=2.5,
)

_USES = "the app uses {used_mb} MiB[[ of the {limit_mb} MiB that are {whose} limit]]"
_GREW = "[[; most grown since its start: {types}]]"


def _cause(id: str, reading: str, says: str, *fixes: str) -> Cause:
    return Cause(id, says, 0.05, {_MEMORY: {reading: 0.97}}, fixes)


APP_MEMORY = Guide(
    id="app-memory",
    title="The app needs too much memory",
    seed="codeai: Memory Consumption; Memory Profiling",
    symptoms=(
        Symptom(
            "text",
            r"OOM|(out of|excessive|high|much) memory|memory (usage|leak|pressure)|MemoryError",
            "memory",
        ),
        Symptom("metric", "process_resident_memory_bytes>209715200", "a large process"),
    ),
    probes=(MEMORY,),
    causes=(
        _cause(
            "memory-requests",
            "requests",
            f"{_USES}, and {{count}} requests of {{method}} {{route}} are under way and hold it,"
            f" the oldest for {{oldest}} s[[ in {{place}}]]{_GREW}",
            "stacks",
            "smaller-bodies",
            "heap",
        ),
        _cause(
            "memory-answers",
            "answers",
            f"{_USES}, and {{deaf}} clients do not take their answers: {{held_mb}} MiB are on their"
            " way to them",
            "see-clients",
            "restart",
        ),
        _cause(
            "memory-cache",
            "cache",
            f"{_USES}, {{cached_mb}} MiB of them for answers that are kept",
            "shared-cache",
            "raise-limit",
        ),
        _cause(
            "memory-grows",
            "grows",
            f"{_USES}, {{before_mb}} MiB {{seconds}} s ago, and does not stop growing{_GREW}",
            "heap",
            "stacks",
            "restart",
        ),
        _cause(
            "app-memory-limit-low",
            "near-limit",
            f"{_USES}{_GREW}",
            "raise-limit",
            "heap",
            "restart",
        ),
    ),
    fixes=(
        Fix(
            "stacks",
            "See what they wait for",
            "curl -s '{url}/debug/pprof/goroutine?debug=1'",
            "none",
        ),
        Fix("smaller-bodies", "Take smaller bodies", "export MAX_BODY=65536", "restart"),
        Fix(
            "see-clients",
            "See who they are (Send-Q); a proxy that ends slow readers belongs before them",
            "ss -tn state established '( sport = :{port} )' | sort -k2 -nr | head",
            "none",
        ),
        Fix(
            "shared-cache",
            "Keep answers in Redis, which has a limit of its own",
            "export REDIS_URL=redis://HOST:6379/0",
            "restart",
        ),
        Fix(
            "heap",
            "Note where it is allocated (costs CPU), look again later, and compare",
            "curl -s '{url}/debug/pprof/heap?trace=1' > 1.pb.gz; sleep 60;"
            " curl -s {url}/debug/pprof/heap > 2.pb.gz; go tool pprof -top -base 1.pb.gz 2.pb.gz",
            "none",
        ),
        Fix(
            "raise-limit",
            "Raise the limit: resources.limits.memory on Kubernetes, ulimit -d in a shell",
            "ulimit -d unlimited",
            "restart",
        ),
        Fix(
            "restart",
            "Start it anew; accepted work stays",
            "backstay restart app --data {data}",
            "restart",
        ),
    ),
    escalation="two heap profiles some minutes apart show what grows, and where it was made",
)
