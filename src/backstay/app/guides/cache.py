"""The cache does not answer: everything is right and slower, because the database answers alone."""

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen

_CACHE = "app.cache"


async def _look_at_cache(target: Target) -> Evidence:
    found = await look_inside(_CACHE, target, "app", "/probe/app.cache", 1.5)
    if isinstance(found, Evidence):
        return found
    facts: dict[str, Plain] = {
        "address": str(found.get("address", "")),
        "error": str(found.get("error") or found.get("away") or ""),
        "lost_times": found.get("lost_times"),
        "data": str(target.data),
    }
    if found.get("kind") == "memory":
        return seen(_CACHE, "memory", "pass", found, **facts)
    if found.get("reading") == "ok" and not found.get("away"):
        return seen(_CACHE, "works", "pass", found, **facts)
    why = str(found.get("why") or found.get("reading"))
    reading = {"late": "hangs", "gone": "down", "full": "full", "denied": "denied"}.get(why, "down")
    return seen(_CACHE, reading, "fail", found, **facts)


CACHE = Probe(
    _CACHE,
    "does the app's cache answer",
    "inside",
    ("works", "memory", "down", "hangs", "full", "denied"),
    _look_at_cache,
    2.0,
)


def _cause(id: str, reading: str, says: str, *fixes: str) -> Cause:
    return Cause(id, says, 0.05, {_CACHE: {reading: 0.93, "works": 0.04}}, fixes)


APP_CACHE = Guide(
    id="app-cache",
    title="The app's cache does not answer",
    seed="codeai: Cache (C15)",
    symptoms=(
        Symptom("text", r"cache (ping failed|lost)|redis|REDIS_URL", "a failing cache"),
        Symptom("text", r"slow (response|answer)s?|X-Cache", "answers are slow"),
        Symptom("state", "app.cache=down", "the check fails"),
    ),
    probes=(CACHE,),
    causes=(
        _cause(
            "cache-down",
            "down",
            "the cache at {address} is down[[: {error}]]; the database answers everything",
            "start-cache",
            "look-at-cache",
        ),
        _cause(
            "cache-hangs",
            "hangs",
            "the cache at {address} takes connections and does not answer",
            "look-at-cache",
            "start-cache",
        ),
        _cause(
            "cache-full",
            "full",
            "the cache at {address} has no room: it takes nothing new[[ ({error})]]",
            "let-go",
            "look-at-cache",
        ),
        _cause(
            "cache-denied",
            "denied",
            "the cache at {address} does not let the app in[[: {error}]]",
            "right-password",
        ),
    ),
    fixes=(
        Fix(
            "start-cache",
            "Start Redis anew; what it kept is not needed",
            "systemctl restart redis-server",
            "none",
        ),
        Fix(
            "look-at-cache",
            "See whether it answers, and what keeps it busy",
            "redis-cli -u redis://{address} ping && redis-cli -u redis://{address} info memory",
            "none",
        ),
        Fix(
            "let-go",
            "Let it throw the oldest away, as a cache may",
            "redis-cli -u redis://{address} config set maxmemory-policy allkeys-lru",
            "none",
        ),
        Fix(
            "right-password",
            "Put the right password into REDIS_URL (redis://:PASSWORD@{address}), then start anew",
            "backstay restart app --data {data}",
            "restart",
        ),
    ),
    escalation="nothing is wrong meanwhile, only slower; unset REDIS_URL to do without a Redis",
)
