"""The queue's server ends instead of starting: what it said last names the cause."""

import re

import msgspec

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import error_code, last_exit, look_inside, process_state, seen
from backstay.queue.guides.looking import NOTHING, message_probe

_SAID = "queue.last-words"
_RECORD = "queue.record"

_FORMS = (
    ("yaml", r"(?P<place>\S+:\d+:\d+): YAML syntax"),
    ("missing", r"(?P<place>(environment variable )?\S+ or key \S+): required in env"),
    ("value", r"(?P<place>(key|environment variable|flag) \S+): .*expected"),
    ("no-tokens", r"CORE012|refused to listen on \S+ without authentication"),
    ("port", r"CORE11[01].*|cannot listen on (?P<place>[^\s:]+:\d+)"),
    ("held", r"CORE010|CORE062"),
    ("store-away", r"QUEUE031|cannot connect to the store at (?P<place>[^\s:]+:\d+)"),
    ("store-password", r"QUEUE032"),
    ("store-newer", r"QUEUE034|CORE04[78]"),
    ("store-address", r"QUEUE036"),
    (
        "memory",
        r"OOMKilled|MemoryError|exit (code|status) 137|memory allocation of \d+|start new thread",
    ),
    ("no-object", r"CreateContainerConfigError|(secret|configmap) \"(?P<place>\S+)\" not found"),
)
_ANSWERED = re.compile(r"QUEUE042")
_BESIDE = ("held", "port", "memory", "no-object")
_RECORDED = {
    "CORE010": "held",
    "CORE062": "held",
    "CORE012": "no-tokens",
    "CORE110": "port",
    "CORE111": "port",
    "CORE047": "store-newer",
    "CORE048": "store-newer",
    "QUEUE031": "store-away",
    "QUEUE032": "store-password",
    "QUEUE034": "store-newer",
    "QUEUE036": "store-address",
}


async def _look_at_words(target: Target) -> Evidence:
    """Words of a start that failed are history once the server of this data folder runs, unless it
    is that server which is in the way, or a pod's, which runs elsewhere. What codeq was answered
    comes from a server that runs."""
    found = await _WORDS.run(target)
    if _ANSWERED.search(target.text):
        return seen(_SAID, NOTHING, "skip")
    if found.outcome == "skip" or found.reading in _BESIDE or not await _runs(_SAID, target):
        return found
    return seen(_SAID, NOTHING, "skip")


async def _runs(probe: str, target: Target) -> bool:
    found = await look_inside(probe, target, "queue", "/live")
    return not isinstance(found, Evidence) and bool(found.get("ready"))


async def _look_at_record(target: Target) -> Evidence:
    """What the server noted in the data folder when it ended; history once one runs again."""
    reason, code = last_exit(target, "queue")
    reading = _RECORDED.get(error_code(reason), NOTHING)
    if reading == NOTHING or process_state(target, "queue"):
        return seen(_RECORD, NOTHING, "skip")
    if await _runs(_RECORD, target):
        return seen(_RECORD, NOTHING, "skip")
    facts: dict[str, Plain] = {"exit_reason": reason, "exit_code": code, "data": str(target.data)}
    return seen(_RECORD, reading, "fail", reason, **facts)


_WORDS = message_probe(_SAID, "what did the server say when it ended", _FORMS)
SAID = msgspec.structs.replace(_WORDS, run=_look_at_words)
RECORD = Probe(
    _RECORD,
    "why did the server end that last ran on the data folder",
    "outside",
    (NOTHING, *dict.fromkeys(_RECORDED.values())),
    _look_at_record,
)


def _cause(id: str, reading: str, says: str, *fixes: str) -> Cause:
    expects = {_SAID: {reading: 0.97}}
    if reading in _RECORDED.values():
        expects[_RECORD] = {reading: 0.97}
    return Cause(id, says, 0.05, expects, fixes)


QUEUE_START = Guide(
    id="queue-start",
    title="The queue's server ends instead of starting",
    seed="codeq: Server Won't Start; Pod CrashLoopBackOff",
    symptoms=(
        Symptom("text", r"CORE001|CORE01[02]|CORE062|CORE11[01]|QUEUE03[1-6]", "it did not start"),
        Symptom("text", r"server.*(crash|exits|(will|wo)n.t start|not start)", "it ends at once"),
        Symptom(
            "text", r"CrashLoopBackOff|OOMKilled|CreateContainerConfigError|pod\b.*crash", "a pod"
        ),
    ),
    probes=(SAID, RECORD),
    causes=(
        _cause("bad-yaml", "yaml", "the settings file is no YAML[[ at {place}]]", "mend-file"),
        _cause("bad-setting", "value", "{place} has a value that cannot be", "mend-file"),
        _cause("setting-missing", "missing", "{place} is not given", "give", "secret"),
        _cause(
            "open-without-tokens",
            "no-tokens",
            "the server would be open to everybody: others reach it, and it knows no issuer",
            "give",
            "loopback",
        ),
        _cause("address-taken", "port", "another program has the address[[ {place}]]", "port"),
        _cause("data-held", "held", "another server owns the data folder", "end-other"),
        _cause(
            "redis-away",
            "store-away",
            "the store does not answer[[: {exit_reason}]]",
            "ping",
            "name-store",
        ),
        _cause("redis-password", "store-password", "the store refuses the password", "password"),
        _cause("store-is-newer", "store-newer", "the store is of a newer version", "upgrade"),
        _cause("bad-store-address", "store-address", "REDIS_ADDR is no address", "name-store"),
        _cause("out-of-memory", "memory", "it has too little memory", "raise-limit"),
        _cause(
            "object-missing",
            "no-object",
            "the pod wants an object that is not there[[: {place}]]",
            "secret",
        ),
    ),
    fixes=(
        Fix(
            "mend-file",
            "Compare with a file of all settings",
            "codeq-server --print-config",
            "none",
        ),
        Fix(
            "give",
            "Give what is named, in the environment or the file",
            "codeq-server --config config.yaml",
            "none",
        ),
        Fix(
            "secret",
            "On Kubernetes: see what the pod is given",
            "kubectl get secret codeq-secret -o yaml; kubectl get configmap codeq-config -o yaml",
            "none",
        ),
        Fix("loopback", "Or stay on this machine", "codeq-server --listen 127.0.0.1:8080", "none"),
        Fix("port", "Take another address", "codeq-server --listen 127.0.0.1:8090", "none"),
        Fix(
            "end-other",
            "End the server that has it, or take another folder",
            "lsof +D {data}",
            "none",
        ),
        Fix("ping", "Ask the store", "redis-cli -h HOST -p PORT PING", "none"),
        Fix("name-store", "Name its address", "export REDIS_ADDR=HOST:PORT", "none"),
        Fix("password", "Give the store's requirepass", "export REDIS_PASSWORD=…", "none"),
        Fix("upgrade", "Run the version that wrote it", "pip install --upgrade backstay", "none"),
        Fix(
            "raise-limit",
            "Raise the limit (a value of the chart), or lower maxPayloadBytes",
            "helm upgrade codeq ./helm/codeq --reuse-values --set resources.limits.memory=1Gi",
            "restart",
        ),
    ),
    escalation="LOG_LEVEL=debug codeq-server; on Kubernetes: kubectl logs POD --previous",
)
