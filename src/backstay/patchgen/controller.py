"""patchgen as a controller's function (P38): a custom resource in, whether to come back out.

Everything is handed in, so that the Kubernetes API of Backstay, kopf or any other loop can call it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from backstay.core.errors import Fault
from backstay.patchgen.library import PatchPackage, Validator
from backstay.patchgen.model import Placed

REQUEUE_SECONDS = 60.0


class Log(Protocol):
    """The controller's own logger; structlog's fits."""

    def info(self, event: str, /, **values: object) -> object: ...
    def error(self, event: str, /, **values: object) -> object: ...


class Result(msgspec.Struct, frozen=True):
    """`requeue_after` is in seconds, 0 for not at all; `error` is why."""

    requeue_after: float = 0.0
    placed: Placed | None = None
    error: str = ""


def reconcile(
    resource: Mapping[str, Any],
    output_dir: str | Path,
    log: Log,
    *,
    strict: bool = False,
    dry_run: bool = False,
) -> Result:
    """Make the package of a NetworkIntent or ScalingIntent; with `dry_run` only plan it.

    Any failure is logged as `Failed to generate package` and comes back in a minute; success does
    not come back. Never raises a Fault.
    """
    metadata = resource.get("metadata") or {}
    who = {"name": metadata.get("name"), "namespace": metadata.get("namespace")}
    try:
        data = msgspec.json.encode(resource, enc_hook=str)
        intent = Validator(strict=strict).validate(data)
        placed = PatchPackage(intent, output_dir, dry_run=dry_run).generate()
    except Fault as fault:
        code = fault.entry.code
        # No trace: the fault has its cause in its message.
        log.error("Failed to generate package", error=fault.message, code=code, **who)  # noqa: TRY400
        return Result(REQUEUE_SECONDS, error=fault.message)
    done = "package planned" if placed.state == "planned" else "package generated"
    log.info(done, path=str(placed.path), state=placed.state, **who)
    return Result(placed=placed)
