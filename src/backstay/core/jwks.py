"""Keys that an issuer publishes at an http(s) address, as a `KeySource` (C7, Q34; decision 0014).

One background task fetches for everybody who waits: a caller may be no task itself, and a thousand
of them are one request. What is published is text of somebody else: keys of a shared secret,
weak, private or broken ones are left out, and a failed fetch never makes a token valid.
"""

import asyncio
import contextvars
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import structlog

from backstay.core import faults
from backstay.core.clock import Clock
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Client, Limits
from backstay.core.http_errors import CallFailed
from backstay.core.jwk import ALGORITHMS, PublishedKey, read_set
from backstay.core.settings import Secret
from backstay.core.tokens import ByAlgorithm, KeySource, SharedSecret

if TYPE_CHECKING:
    from joserfc.jwk import Key

_log = structlog.get_logger("core.jwks")

_BODY_LIMIT = 1_048_576
_REDIRECTS = 3
_OK = 200
_MOVED = frozenset({301, 302, 303, 307, 308})
_FIRST_PAUSE = 1.0
_SHOWN = 100


class Jwks:
    """The key set at `url`. Belongs to one event loop; holds nothing that must be closed.

    All in seconds: a set older than `refresh` is fetched again beside the requests; an unknown
    kid fetches at once, but not within `cooldown` of the last try; a fetch has `deadline`. While
    fetches fail the last set goes on to count until it is `stale` old; then nothing is accepted.
    """

    algorithms: tuple[str, ...] = ALGORITHMS

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        refresh: float = 300.0,
        cooldown: float = 30.0,
        deadline: float = 5.0,
        stale: float = 14_400.0,
    ) -> None:
        self.url = url
        self._clock = clock
        self._refresh = refresh
        self._cooldown = cooldown
        self._deadline = deadline
        self._stale = stale
        self._keys: Sequence[PublishedKey] | None = None
        self._fetched = 0.0
        self._next_try = float("-inf")
        self._pause = 0.0
        self._failed = ""
        self._version = 0
        self._task: asyncio.Task[None] | None = None

    async def key(self, kid: str, algorithm: str) -> "Key":
        """The one published key of this id for this algorithm; without a `kid` the only one for
        the algorithm, if there is one only.

        Raises AUTH006 when the fresh set has none, AUTH009 when nobody can know.
        """
        self._forget_stale()
        found = self._find(kid, algorithm)
        if found is None or self._overdue():
            await self._refreshed()
            found = self._find(kid, algorithm)
        if found is not None:
            return found
        if self._failed or self._keys is None:
            raise Fault(faults.AUTH_JWKS, reason=self._failed or "not fetched yet")
        shown = repr(kid[:_SHOWN]) if kid else "(the token names none)"
        raise Fault(faults.AUTH_KEY, kid=shown, algorithm=algorithm)

    def version(self) -> int:
        """Changes when a key was taken away or replaced, or the set became too old to count.
        Starts a due refresh beside the caller, so that a withdrawn key ends its tokens too."""
        self._forget_stale()
        if self._keys is not None and self._age() > self._refresh and self._may_try():
            self._fetching()
        return self._version

    def _age(self) -> float:
        return self._clock.tick() - self._fetched

    def _overdue(self) -> bool:
        """A set that nobody looked at for long is not believed unseen. When a fetch just failed,
        waiting again would only make every request slow."""
        return not self._failed and self._age() > 2 * self._refresh

    def _forget_stale(self) -> None:
        if self._keys is not None and self._age() > self._stale:
            _log.error(
                "jwks too old", url=_shown(self.url), age=round(self._age()), reason=self._failed
            )
            self._keys = None
            self._version += 1

    def _find(self, kid: str, algorithm: str) -> "Key | None":
        named = [key for key in self._keys or () if not kid or key.kid == kid]
        fitting = [key for key in named if key.fits(algorithm)]
        return fitting[0].imported() if len(fitting) == 1 else None

    def _may_try(self) -> bool:
        return self._clock.tick() >= self._next_try

    async def _refreshed(self) -> None:
        """Wait for the fetch that runs, or for a new one if it is time for one."""
        running = self._task is not None and not self._task.done()
        if running or self._may_try():
            # A caller that goes away must not take the others' fetch with it.
            await asyncio.shield(self._fetching())

    def _fetching(self) -> "asyncio.Task[None]":
        if self._task is None or self._task.done():
            self._next_try = self._clock.tick() + self._cooldown
            # Its own context: it works for many requests and its log lines belong to none.
            self._task = asyncio.get_running_loop().create_task(
                self._fetch(), name="jwks", context=contextvars.Context()
            )
        return self._task

    async def _fetch(self) -> None:
        began = self._clock.tick()
        try:
            async with asyncio.timeout(self._deadline):
                keys = read_set(await self._download())
        except TimeoutError:
            self._failure(f"no complete answer within {self._deadline:g} s")
        except CallFailed as failed:
            self._failure(failed.kind, failed.message)
        except ValueError as unusable:
            self._failure(str(unusable))
        else:
            self._success(keys, self._clock.tick() - began)

    def _success(self, keys: Sequence[PublishedKey], took: float) -> None:
        if any(known not in keys for known in self._keys or ()):
            self._version += 1
        if self._keys != keys or self._failed:
            kids = [key.kid for key in keys]
            millis = round(took * 1000, 1)
            _log.info("jwks fetched", url=_shown(self.url), kids=kids, duration=millis)
        self._keys, self._failed, self._pause = keys, "", 0.0
        self._fetched = self._clock.tick()
        self._next_try = self._fetched + self._cooldown

    def _failure(self, reason: str, details: str = "") -> None:
        self._failed = reason
        counts_for = 0.0
        if self._keys is None:
            # Nobody gets in: the next try is soon, and no request can make it sooner.
            self._pause = min(self._cooldown, max(_FIRST_PAUSE, 2 * self._pause))
            self._next_try = self._clock.tick() + self._pause
        else:
            counts_for = max(0.0, self._stale - self._age())
        _log.warning(
            "jwks fetch failed",
            url=_shown(self.url),
            reason=details or reason,
            old_keys_count_for=round(counts_for),
        )

    async def _download(self) -> bytes:
        # Rare enough for a connection of its own, and then nobody has one to close.
        client = Client(
            self._clock,
            EgressRules(("loopback", "private")),  # an operator named the address
            Limits(connect=self._deadline, body=_BODY_LIMIT, connections=1),
        )
        try:
            return await self._follow(client)
        finally:
            await client.close()

    async def _follow(self, client: Client) -> bytes:
        url = self.url
        headers = {"accept": "application/jwk-set+json, application/json"}
        for _ in range(_REDIRECTS):
            answer = await client.request("GET", url, headers, timeout=self._deadline)
            if answer.status == _OK:
                return answer.body
            target = answer.headers.get("location", "")
            if answer.status not in _MOVED or not target:
                raise ValueError(f"the answer has status {answer.status}")
            target = urljoin(url, target)
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                raise ValueError("it redirects to another host, which is not followed")
            url = target
        raise ValueError(f"it redirects more than {_REDIRECTS - 1} times")


def issuer_keys(secret: Secret, jwks_url: str, clock: Clock) -> KeySource:
    """What a listener with one issuer verifies with: the secret, the published keys, or each for
    its own algorithms. Without a secret tokens of a shared one are AUTH008."""
    if not jwks_url:
        return SharedSecret(secret)
    return ByAlgorithm([SharedSecret(secret), Jwks(jwks_url, clock)])


def _shown(url: str) -> str:
    """An address for the log: without credentials and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
