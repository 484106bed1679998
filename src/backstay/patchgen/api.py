"""The HTTP face: `POST /intent`, health and readiness; texts and statuses of the seed (P39–P43)."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import structlog

from backstay.core.clock import Clock, Ids, rfc3339
from backstay.core.errors import Fault, Plain
from backstay.core.web import Endpoint, Request, Response, json_response
from backstay.core.web_errors import BODY_TOO_LARGE
from backstay.patchgen.errors import Conflict, InvalidIntent
from backstay.patchgen.errors import faces as errors
from backstay.patchgen.health import Health, probe_package
from backstay.patchgen.metrics import PatchgenMetrics
from backstay.patchgen.model import SIZE_LIMIT, Diagnosis
from backstay.patchgen.service import Job, Made, Maker
from backstay.patchgen.stage import Abandon

SCOPE = "patchgen:generate"
_REMEMBERED = 20
_log = structlog.get_logger("patchgen.api")


class Debugging:
    """A stage's debug line with the time under the key that the seed names (P44)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def debug(self, event: str, /, **values: object) -> None:
        """One line, if debug lines are on."""
        _log.debug(event, timestamp=rfc3339(self._clock.now()), **values)


class Intents:
    """Handlers over one output folder. Generation runs in threads of its own, so a slow disk never
    blocks an answer about health; a request that waits too long is abandoned, whole."""

    def __init__(
        self,
        job: Job,
        timeout: float,
        clock: Clock,
        ids: Ids,
        metrics: PatchgenMetrics,
        health: Health,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._job = job
        self._timeout = timeout
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._health = health
        self._pool = pool
        self._slowest: deque[float] = deque(maxlen=_REMEMBERED)
        self._abandoned = 0

    async def pace(self) -> dict[str, Any]:
        """What the doctor asks: the slowest of the last generations, in seconds."""
        slowest = max(self._slowest, default=0.0)
        path = self._job.output
        return {"slowest_seconds": slowest, "abandoned": self._abandoned, "path": path}

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint(
                "POST", "/intent", self.generate, scope=SCOPE, max_body=SIZE_LIMIT, refusal=refuse
            ),
            Endpoint("GET", "/health", self.health),
            Endpoint("GET", "/healthz", self.health),
            Endpoint("GET", "/ready", self.ready),
            Endpoint("GET", "/readyz", self.ready),
        ]

    async def generate(self, request: Request) -> Response:
        """200 once the package is in place (`?dry_run=true`: would be); nothing appears after any
        other answer."""
        abandon = Abandon()
        job = self._job
        if request.query.get("dry_run", [""])[-1].lower() in ("true", "1"):
            job = msgspec.structs.replace(job, dry_run=True)
        maker = Maker(job, self._clock, self._ids, log=Debugging(self._clock), abandon=abandon)
        # With the request's context: its id is on the lines that the thread logs.
        inside = contextvars.copy_context().run
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, inside, maker.make, request.body)
        try:
            done, _ = await asyncio.wait({work}, timeout=self._timeout)
        finally:
            if not work.done():
                abandon.give_up()
                work.cancel()
        if not done:
            self._abandoned += 1
            _log.error("generation abandoned", seconds=self._timeout, output=job.output)
            raise Fault(errors.HTTP_TIMEOUT, seconds=self._timeout)
        return self._answered(maker, work)

    def _answered(self, maker: Maker, work: "asyncio.Future[Made]") -> Response:
        for stage, seconds in maker.stages.took.items():
            self._metrics.took(stage, seconds)
            self._slowest.append(seconds)
        try:
            made = work.result()
        except InvalidIntent as invalid:
            self._metrics.judged(valid=False)
            told: list[Plain] = [_plain(one) for one in invalid.report.errors]
            raise Fault(errors.HTTP_INVALID, reason=invalid.message, errors=told) from invalid
        except Fault as fault:
            self._metrics.judged(valid=True)
            self._metrics.placed(fault.entry.code)
            if isinstance(fault, Conflict):
                raise
            _log.exception("generation failed", code=fault.entry.code, error=fault.message)
            raise Fault(errors.HTTP_FAILED) from fault
        except Exception as failure:
            _log.exception("generation failed", error=str(failure))
            raise Fault(errors.HTTP_FAILED) from failure
        self._metrics.judged(valid=True)
        self._metrics.placed(made.placed.state)
        return json_response(_success(made))

    async def health(self, _: Request) -> Response:
        """The seed's health object; 503 when it is not healthy."""
        found = await asyncio.to_thread(self._health.look)
        return json_response(found, 200 if found.healthy else 503)

    async def ready(self, _: Request) -> Response:
        """Whether a real package can be made right now."""
        try:
            await asyncio.to_thread(probe_package)
        except Fault as fault:
            return json_response({"status": "not ready", "error": fault.message}, 503)
        except OSError as failed:
            return json_response({"status": "not ready", "error": str(failed)}, 503)
        return json_response({"status": "ready"})


def refuse(fault: Fault, answer: Response) -> Response:
    """Refusals of `/intent` as its clients know them: JSON, and `Request too large`."""
    if fault.entry is not BODY_TOO_LARGE:
        return msgspec.structs.replace(answer, content_type=b"application/json")
    body = msgspec.json.decode(answer.body)
    words = Fault(errors.HTTP_TOO_LARGE, limit=SIZE_LIMIT)
    body |= {"error": words.message, "detail": words.message, "code": words.entry.code}
    return msgspec.structs.replace(
        answer, body=msgspec.json.encode(body), content_type=b"application/json"
    )


def _success(made: Made) -> dict[str, object]:
    planned = made.placed.state == "planned"
    return {
        "status": "success",
        "message": "Package can be generated" if planned else "Package generated successfully",
        "package": made.placed.name,
        "package_path": str(made.placed.path),
        "state": made.placed.state,
        "intent_hash": f"sha256:{made.placed.intent_hash}",
        "target": made.intent.target,
        "namespace": made.intent.namespace,
        "replicas": made.intent.replicas,
        "warnings": [_plain(one) for one in made.report.warnings],
    }


def _plain(one: Diagnosis) -> Plain:
    told: dict[str, Plain] = msgspec.to_builtins(one)
    return told
