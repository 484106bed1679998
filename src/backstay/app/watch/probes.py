"""What the doctor may ask the process about itself: memory, tasks, requests. Read-only."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from backstay.app.watch.connections import Clients, clients
from backstay.app.watch.samples import Census, Sample, Totals, Watch
from backstay.core.asgi import UnderWay
from backstay.core.errors import Plain

Probe = Callable[[], Awaitable[dict[str, Plain]]]

_SHOWN = 10
_LOOKED = 200
"""Tasks of one kind that are looked at more closely."""
_RECENT = 4
"""Samples that say how requests fare now."""
_PLACES = (
    ("core.bodies.", "body"),
    ("app.store.postgres.connections.", "connection"),
    ("app.store.", "statement"),
    ("core.sqlite.", "statement"),
)


class Face(msgspec.Struct, frozen=True):
    """What is known of the HTTP face: its requests under way, its port, its most connections; the
    bytes of the cache in memory; and the calls outside under way, with the most there may be."""

    under_way: Callable[[], Sequence[UnderWay]]
    port: Callable[[], int]
    most: Callable[[], int]
    cached: Callable[[], int]
    calls: Callable[[], tuple[int, int]]


def of(watch: Watch, face: Face) -> dict[str, Probe]:
    """The probes by id."""

    async def memory() -> dict[str, Plain]:
        now, first = watch.look(), watch.samples[0] if watch.samples else watch.look()
        middle = watch.samples[len(watch.samples) // 2] if watch.samples else first
        seen = await asyncio.to_thread(clients, face.port())
        return {
            "resident": now.resident,
            "first": first.resident,
            "middle": middle.resident,
            "seconds": round(now.tick - first.tick, 1),
            "cached": face.cached(),
            **_clients(seen),
            "requests": _requests(face.under_way()),
        }

    async def heap() -> dict[str, Plain]:
        now = await watch.count()
        return _growth(watch.census, now)

    async def tasks() -> dict[str, Plain]:
        now, samples = watch.look(), list(watch.samples)
        seen = await asyncio.to_thread(clients, face.port())
        flying, most = face.calls()
        return {
            "total": sum(now.tasks.values()),
            "grown": _grown(samples, now),
            "requests": _requests(face.under_way()),
            "calls": flying,
            "most_calls": most,
            "connections": seen.open,
            "most_connections": face.most(),
            **_clients(seen),
        }

    async def requests() -> dict[str, Plain]:
        now = watch.look()
        recent = list(watch.samples)[-_RECENT:]
        first = recent[0] if recent else now
        return {**_pace(watch, first, now), "requests": _requests(face.under_way())}

    return {"app.memory": memory, "app.heap": heap, "app.tasks": tasks, "app.requests": requests}


def _clients(seen: Clients) -> dict[str, Plain]:
    return {"waiting": seen.waiting, "deaf": seen.deaf, "held": seen.held}


def _requests(open_: Sequence[UnderWay]) -> list[Plain]:
    """Those under way by route, the most first: since when, and where most of them stand."""
    from backstay.core.profiling.stacks import own_place

    routes: dict[tuple[str, str], list[UnderWay]] = {}
    for one in open_:
        if one.kind == "unary":
            routes.setdefault((one.method, one.route), []).append(one)
    found: list[Plain] = []
    for (method, route), those in sorted(routes.items(), key=lambda item: -len(item[1])):
        places = Counter(own_place(one.task) for one in those[:_LOOKED] if one.task is not None)
        place = places.most_common(1)[0][0] if places else ""
        found.append(
            {
                "method": method,
                "route": route,
                "count": len(those),
                "oldest": round(those[0].seconds, 3),
                "place": place,
                "where": next((name for start, name in _PLACES if place.startswith(start)), ""),
            }
        )
    return found[:_SHOWN]


def _grown(samples: Sequence[Sample], now: Sample) -> list[Plain]:
    """Kinds of tasks of which there are more at each look than at the one before it, or as many,
    with the place where most of them wait."""
    found: list[tuple[int, dict[str, Plain]]] = []
    looks = [*samples, now]
    for made, count in now.tasks.items():
        seen = [each.tasks.get(made, 0) for each in looks]
        if count > 2 * seen[0] and all(a <= b for a, b in pairwise(seen)):
            more: dict[str, Plain] = {
                "made": made,
                "count": count,
                "before": seen[0],
                "looks": len(looks),
            }
            found.append((count - seen[0], more | {"place": _place(made)}))
    found.sort(key=lambda one: -one[0])
    return [told for _, told in found[:_SHOWN]]


def _place(made: str) -> str:
    from backstay.core.profiling.stacks import own_place

    those = [t for t in asyncio.all_tasks() if getattr(t.get_coro(), "__qualname__", "") == made]
    places = Counter(own_place(task) for task in those[:_LOOKED])
    return places.most_common(1)[0][0] if places else ""


def _growth(then: Census | None, now: Census) -> dict[str, Plain]:
    if then is None:
        return {"grown": [], "seconds": 0.0, "more": 0}
    more = {name: count - then.types.get(name, 0) for name, count in now.types.items()}
    # What has doubled says more than what there is always much of.
    top = sorted(
        more.items(), key=lambda item: (now.types[item[0]] > 2 * item[1], -item[1], item[0])
    )[:_SHOWN]
    grown: list[Plain] = [
        {"type": name, "count": now.types[name], "before": now.types[name] - by}
        for name, by in top
        if by > 0
    ]
    seconds = round(now.tick - then.tick, 1)
    return {"grown": grown, "seconds": seconds, "more": now.resident - then.resident}


def _pace(watch: Watch, first: Sample, now: Sample) -> dict[str, Plain]:
    """Routes that were answered since `first`, the one that took most time first."""
    seconds = max(now.tick - first.tick, 1e-6)
    routes = [
        told
        for labels, buckets in now.requests.items()
        if (told := _route(labels, buckets, first.requests.get(labels), watch.bounds))
    ]
    routes.sort(key=lambda told: -told["total"])
    late = [sample.late for sample in watch.samples]
    shown: list[Plain] = [*routes[:_SHOWN]]
    return {
        "seconds": round(seconds, 1),
        "routes": shown,
        "total": round(sum(told["total"] for told in routes), 3),
        **_spent(first.totals, now.totals),
        "busy": round((now.wanted - first.wanted) / seconds, 3),
        "late": round(sum(late) / len(late), 3) if late else 0.0,
    }


def _spent(first: Totals, now: Totals) -> dict[str, Plain]:
    statements = now.statements - first.statements
    return {
        "statements": round(statements, 3),
        "waits": round(now.waits - first.waits, 3),
        "computing": round(max(0.0, now.works - first.works - statements), 3),
        "bodies": round(now.bodies - first.bodies, 3),
    }


def _route(
    labels: tuple[str, ...],
    buckets: tuple[float, ...],
    before: tuple[float, ...] | None,
    bounds: tuple[float, ...],
) -> dict[str, Any]:
    counts = [now - then for now, then in zip(buckets, before or [0.0] * len(buckets), strict=True)]
    *counts, total = counts
    count = sum(counts)
    if count <= 0:
        return {}
    most = next(place for place, seen in enumerate(accumulate(counts)) if seen >= 0.95 * count)
    over = bounds[most - 1] if most else 0.0
    method, route = labels
    told = {"method": method, "route": route, "count": int(count), "p95_over": over}
    return told | {"total": round(total, 3), "mean": round(total / count, 4)}
