"""The profiles of one process, for its HTTP face and its control socket, with Go's paths and
parameters: `/debug/pprof/{profile,heap,allocs,goroutine}`.
"""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from backstay.core.clock import Clock, CpuClock
from backstay.core.control import Reply, Routes
from backstay.core.errors import Fault
from backstay.core.faults import ORIGIN_REFUSED
from backstay.core.metrics_process import resident_bytes
from backstay.core.process_errors import BAD_PROFILE, PROFILE_RUNS
from backstay.core.web import Endpoint, Request, Response

if TYPE_CHECKING:
    from backstay.core.profiling.heap import Heap

PREFIX = "/debug/pprof"
KINDS = ("profile", "heap", "allocs", "goroutine")
Access = Literal["off", "admin", "open"]

_MOST_SECONDS = 300.0
_BINARY, _TEXT = b"application/octet-stream", b"text/plain; charset=utf-8"
_INDEX = """/debug/pprof/ of {name}

profile?seconds=30       CPU, by thread and task         go tool pprof
heap                     memory by type; ?gc=1 collects first; ?trace=1 begins to note the places
                         of allocations (costs CPU), ?trace=0 ends it
allocs                   the same, showing alloc_space
goroutine                tasks and threads; ?debug=1 counts equal stacks, ?debug=2 is text
"""


class Wish(msgspec.Struct, frozen=True):
    """What can be said of a profile; the names are Go's, `trace` is ours."""

    seconds: float = 30.0
    debug: int = 0
    gc: bool = False
    trace: bool | None = None


class Profiles:
    """Makes profiles of this process; `name` is its system, which labels every sample."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._heap: Heap | None = None
        self._sampling = False
        self._ending = asyncio.Event()

    def end(self) -> None:
        """A CPU profile that is being made ends now and is delivered: the process drains."""
        self._ending.set()

    async def make(self, kind: str, wish: Wish) -> Response:
        """`profile`, `heap`, `allocs` or `goroutine`. Raises CORE068 and CORE069."""
        if kind == "profile":
            return self._file(kind, await self._cpu(wish.seconds))
        if kind in ("heap", "allocs"):
            default = "alloc_space" if kind == "allocs" else "inuse_space"
            return self._file(kind, await self._memory(wish, default))
        if kind == "goroutine":
            return self._goroutines(wish.debug)
        raise _bad("profile", kind[:100], f"one of {', '.join(KINDS)}")

    def endpoints(self, access: Access = "admin") -> list[Endpoint]:
        """The rows for a system's route table: for admins, for anybody, or none."""
        if access == "off":
            return []
        scope = "admin" if access == "admin" else ""

        def row(kind: str) -> Endpoint:
            async def handler(request: Request) -> Response:
                refuse_pages(request.headers)
                return await self.make(kind, wish_of(request.query))

            # Long: a client that goes away ends its profile.
            return Endpoint("GET", f"{PREFIX}/{kind}", handler, kind="long", scope=scope)

        return [
            Endpoint("GET", f"{PREFIX}/", self._index, scope=scope),
            *(row(kind) for kind in KINDS),
        ]

    def control(self) -> Routes:
        """`GET /profile/KIND`, and with wishes as JSON `POST /profile/KIND`."""

        async def answer(kind: str, body: bytes) -> Reply:
            try:
                wish = msgspec.json.decode(body or b"{}", type=Wish)
            except msgspec.MsgspecError as bad:
                raise _bad("body", body[:100].decode("utf-8", "replace"), str(bad)) from bad
            made = await self.make(kind, wish)
            return Reply(made.body, made.content_type.decode(), made.status)

        return {"GET /profile/{}": answer, "POST /profile/{}": answer}

    async def _index(self, _: Request) -> Response:
        return Response(body=_INDEX.format(name=self._name).encode(), content_type=_TEXT)

    async def _cpu(self, seconds: float) -> bytes:
        if not 0 < seconds <= _MOST_SECONDS:
            raise _bad("seconds", f"{seconds:g}", f"between 0 and {_MOST_SECONDS:g}")
        if self._sampling:
            raise Fault(PROFILE_RUNS, name=self._name)
        from backstay.core.profiling.cpu import Sampler

        began, start = self._clock.now(), self._clock.tick()
        sampler = Sampler(self._name, asyncio.get_running_loop(), CpuClock())
        self._sampling = True
        try:
            sampler.start()
            await self._pass(start + seconds)
            took = self._clock.tick() - start
            sampler.stop()
            return await asyncio.to_thread(sampler.finish, began, took)
        finally:
            sampler.stop()
            self._sampling = False

    async def _pass(self, until: float) -> None:
        waits = [
            asyncio.ensure_future(self._clock.sleep(until)),
            asyncio.ensure_future(self._ending.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _memory(self, wish: Wish, default: str) -> bytes:
        # What looks is imported when somebody asks: servers start without it.
        from backstay.core.profiling.heap import Heap

        if self._heap is None:
            self._heap = Heap(self._name, resident_bytes)
        if wish.gc:
            await asyncio.to_thread(gc.collect)
        return await self._heap.profile(self._clock.now(), trace=wish.trace, default=default)

    def _goroutines(self, debug: int) -> Response:
        from backstay.core.profiling import stacks

        found = stacks.all_stacks()
        if debug == 0:
            made = stacks.as_profile(found, self._name, self._clock.now())
            return self._file("goroutine", made)
        text = stacks.as_counts(found) if debug == 1 else stacks.as_text(found)
        return Response(body=text.encode("utf-8", "replace"), content_type=_TEXT)

    def _file(self, kind: str, content: bytes) -> Response:
        name = f"{self._name}-{kind}.pb.gz"
        header = (b"content-disposition", f'attachment; filename="{name}"'.encode())
        return Response(body=content, content_type=_BINARY, headers=(header,))


def refuse_pages(headers: Mapping[str, str]) -> None:
    """A profile costs CPU, and any web page can make a browser fetch an address of this machine.
    Raises CORE014 for what a browser says comes from another site's page."""
    if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
        raise Fault(ORIGIN_REFUSED, origin=headers.get("referer", "another site")[:100])


def wish_of(query: Mapping[str, Sequence[str]]) -> Wish:
    """The parameters of a URL; unknown ones are left alone, as Go does. Raises CORE069."""
    given = {name: query[name][-1] for name in Wish.__struct_fields__ if name in query}
    try:
        return msgspec.convert(given, Wish, strict=False)
    except msgspec.ValidationError as bad:
        shown = "&".join(f"{name}={text}" for name, text in given.items())
        raise _bad("query", shown[:100], str(bad)) from bad


def _bad(name: str, given: str, expected: str) -> Fault:
    return Fault(BAD_PROFILE, name=name, given=given, expected=expected)
