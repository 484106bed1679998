"""The story of one intent: where each field came from, which rules it met, what each stage cost."""

import msgspec

from backstay.core.clock import Clock
from backstay.core.duration import format_duration
from backstay.patchgen.model import Intent, Report
from backstay.patchgen.names import LABEL_LIMIT
from backstay.patchgen.places import Notes
from backstay.patchgen.render import FILES, render
from backstay.patchgen.scan import BrokenError, Node, scan
from backstay.patchgen.shapes import adapt
from backstay.patchgen.trace import Stages
from backstay.patchgen.validate import validate

_FIELDS = (
    *("intent_type", "target", "namespace", "replicas", "target_kind", "reason", "source"),
    *("correlation_id", "constraints"),
)


class Origin(msgspec.Struct, frozen=True):
    """One field of the intent. `origin` is `/spec/replicas, line 3, column 7`, `implied by the
    shape` or `default`."""

    field: str
    value: str
    origin: str


class Story(msgspec.Struct, frozen=True):
    """All that `patchgen explain` tells; stages are in seconds, files in bytes."""

    report: Report
    origins: tuple[Origin, ...]
    package: str
    canonical: str
    intent_hash: str
    files: dict[str, int]
    stages: dict[str, float]

    def lines(self) -> list[str]:
        """For people."""
        told = [f"shape: {self.report.shape}, {self.report.size} bytes"]
        told += [f"  {one.field:<15} {one.value:<28} {one.origin}" for one in self.origins]
        if self.package:
            told += [
                f"intent: {self.canonical}",
                f"hash:   sha256:{self.intent_hash}",
                f"name:   {self.package} (target and 10 digits of the hash, {LABEL_LIMIT} at most)",
                "files:",
                *(f"  {name:<30} {size:>6} bytes" for name, size in self.files.items()),
            ]
        told.append("time:")
        told += [f"  {name:<20} {format_duration(took)}" for name, took in self.stages.items()]
        return told


def explain(data: bytes, clock: Clock, *, strict: bool = False) -> Story:
    """Raises nothing for what is in `data`; the report has what is wrong."""
    stages = Stages(clock)
    with stages.stage("validation"):
        report = validate(data, strict=strict)
    with stages.stage("finding origins"):
        flat = _flat(data)
    origins = tuple(_origin(name, flat, report.intent) for name in _FIELDS) if flat else ()
    if report.intent is None:
        return Story(report, origins, "", "", "", {}, stages.took)
    with stages.stage("rendering"):
        package = render(report.intent)
    return Story(
        report,
        origins,
        package.name,
        report.intent.canonical().decode(),
        package.intent_hash,
        {name: len(package.files[name]) for name in FILES},
        stages.took,
    )


class _Flat(msgspec.Struct, frozen=True):
    """The document in the flat shape with the text it stands in."""

    text: str
    root: Node


def _flat(data: bytes) -> _Flat | None:
    text = data.decode("utf-8-sig", "replace")
    try:
        root, _ = scan(text)
    except BrokenError:
        return None
    flat = adapt(root, Notes(text))[1]
    return None if flat is None else _Flat(text, flat)


def _origin(name: str, flat: _Flat, intent: Intent | None) -> Origin:
    node = flat.root.members.get(name)
    if node is None:
        value = "" if intent is None else _shown(getattr(intent, name))
        return Origin(name, value, "default")
    value = _shown(node.value if intent is None else getattr(intent, name))
    if node.pointer == flat.root.pointer:
        return Origin(name, value, "implied by the shape")
    line = flat.text.count("\n", 0, node.start) + 1
    column = node.start - flat.text.rfind("\n", 0, node.start)
    return Origin(name, value, f"{node.pointer}, line {line}, column {column}")


def _shown(value: object) -> str:
    plain = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    told = plain if plain.isprintable() else plain.encode("unicode_escape").decode()
    return told if len(told) <= 60 else f"{told[:59]}…"
