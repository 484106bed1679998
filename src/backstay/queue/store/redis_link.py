"""The connection to a Redis, Valkey or KVRocks, alone or as a cluster: scripts go in, answers come
out, and what can go wrong becomes a Fault that names the address.

No more connections are open than the pool's size: who finds none free waits. Of what is asked, only
that is repeated here which does the same when it is done twice.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import structlog
from redis import exceptions as redis_errors
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.queue.errors import STORE_PASSWORD, STORE_REFUSES, STORE_UNREACHABLE
from backstay.queue.store.lua import Script
from backstay.queue.store.redis_address import RedisAddress

_log = structlog.get_logger("queue.redis")

_PATIENCE = 5.0
"""Seconds until a silent store counts as lost."""

_AWAY = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterError,
    redis_errors.RedisClusterException,
    redis_errors.MasterDownError,
    OSError,
    TimeoutError,
)
_BEGINS_AWAY = (
    "CLUSTERDOWN",
    "TRYAGAIN",
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "UNKILLABLE",
    "BUSY",
)

_REFUSALS = (
    "max number of clients reached",
    "The user executing the script can't",
    "ACL failure in script",
)
"""Said by Redis and Valkey without a code of their own; the client library takes the first for a
broken connection. It reaches a connection before anything was asked on it."""


def _closed_under(failure: Exception) -> bool:
    """The cluster's client closes a node's connections when it learns of another layout; a caller
    that was about to write on one then meets the library's None."""
    return (
        isinstance(failure, AttributeError) and failure.obj is None and failure.name == "writelines"
    )


_KEPT = 60
"""Seconds until what was only written to see whether that works is gone."""
_TAGS = 1000
"""A node that none of so many hash tags lies on has no share worth speaking of."""


class LostError(Exception):
    """No answer came: what was asked may have been done."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Link:
    """Open between `open` and `close`. `pool` bounds the connections, 2 at least: one listens."""

    def __init__(self, address: RedisAddress, password: Secret, pool: int) -> None:
        self.address = address
        self.clustered = False
        self.warnings: tuple[str, ...] = ()
        self._hidden: set[str] = set()
        self._password = password or address.password
        self._pool = max(2, pool)
        self._free = asyncio.Semaphore(self._pool - 1)
        self._client: Any = None

    async def open(self) -> None:
        """Raises QUEUE031 (nobody there) or QUEUE032 (the password)."""
        self._client = self._single(self.address.nodes[0], self._pool - 1)
        info = cast("dict[str, Any]", await self._heed(self._client.info("cluster")))
        self.clustered = bool(int(info.get("cluster_enabled", 0)))
        if self.clustered:
            await self._client.aclose()
            self._client = RedisCluster(
                startup_nodes=[ClusterNode(host, port) for host, port in self.address.nodes],
                max_connections=self._pool - 1,
                **self._options(),
            )
            await self._heed(self._client.initialize())
        await self.doubt()

    async def doubt(self) -> None:
        """Reads anew what of the store's settings can cost accepted tasks (Q46), and says what was
        not so before. KVRocks has none of them: it writes to disk always; and a store that does not
        show its settings is not judged."""
        found = []
        for name, right, why in _SAFE:
            value = await self._setting(name)
            if value not in (None, right):
                found.append(f"{name} is {value}, not {right}: {why}")
        for why in found:
            if why not in self.warnings:
                shown = self.address.shown
                _log.warning("the store may lose accepted tasks", address=shown, why=why)
        self.warnings = tuple(found)

    async def run(self, script: Script, keys: Sequence[str], *args: bytes | str) -> Any:
        """The answer of the script. Raises LostError, or a Fault when it was refused."""
        named = (len(keys), *keys, *args)
        async with self._free:
            try:
                return await self._client.execute_command("EVALSHA", script.sha, *named)
            except redis_errors.NoScriptError:
                # A server that was restarted or flushed knows no scripts; this teaches it, too.
                return await self._heed(self._client.execute_command("EVAL", script.text, *named))
            except Exception as failure:
                raise self._understand(failure) from failure

    async def read(self, script: Script, keys: Sequence[str], *args: bytes | str) -> Any:
        """As `run`, for a script that may run twice: once more when the connection broke."""
        try:
            return await self.run(script, keys, *args)
        except LostError:
            return await self.run(script, keys, *args)

    async def ask(self, *words: bytes | str | float) -> Any:
        """The answer to a command that may be done twice; once more when the connection broke.
        Raises as `run` does."""
        try:
            return await self._ask(*words)
        except LostError:
            return await self._ask(*words)

    async def _ask(self, *words: bytes | str | float) -> Any:
        async with self._free:
            return await self._heed(self._client.execute_command(*words))

    async def write_everywhere(self, name: str, value: str) -> None:
        """In a cluster, `value` under `name` on each of its nodes, for a minute. Raises as `run`
        does, and names the node."""
        for node, tag in self._places().items() if self.clustered else ():
            try:
                await self._ask("SET", f"{name}:{{{tag}}}", value, "EX", _KEPT)
            except Fault as refused:
                raise Fault(refused.entry, **{**refused.values, "address": node}) from refused

    def _places(self) -> dict[str, str]:
        """For each node that holds slots, a hash tag that lies there."""
        found: dict[str, str] = {}
        try:
            nodes = len(self._client.get_primaries())
            for tag in map(str, range(_TAGS)):
                node = self._client.get_node_from_key(f"{{{tag}}}")
                found.setdefault(f"{node.host}:{node.port}", tag)
                if len(found) == nodes:
                    break
        except Exception as failure:
            raise self._understand(failure) from failure
        return found

    async def listener(self, channel: str) -> Any:
        """A subscription of its own connection; close it with `aclose`."""
        node = self.address.nodes[0]
        if self.clustered:
            any_node = self._client.get_random_node()
            node = (any_node.host, any_node.port)
        client = self._single(node, 1, patience=None)
        listener = client.pubsub()
        try:
            await self._heed(listener.subscribe(channel))
        except BaseException:
            await listener.aclose()
            await client.aclose()
            raise
        return Listener(client, listener)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # --- inside ------------------------------------------------------------------------------

    def _options(self, patience: float | None = _PATIENCE) -> dict[str, Any]:
        return {
            "username": self.address.user or None,
            "password": self._password.reveal() or None,
            "ssl": self.address.tls,
            "socket_timeout": patience,
            "socket_connect_timeout": _PATIENCE,
            "socket_keepalive": True,
            # What is repeated is decided above, where it is known what may be.
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }

    def _single(
        self, node: tuple[str, int], connections: int, patience: float | None = _PATIENCE
    ) -> Any:
        host, port = node
        return Redis(host=host, port=port, max_connections=connections, **self._options(patience))

    async def _heed(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except Exception as failure:
            raise self._understand(failure) from failure

    def _understand(self, failure: Exception) -> Exception:
        """What to raise in its place; what is none of the store's comes back as it is."""
        shown = self.address.shown
        text = str(failure) or type(failure).__name__
        first = text.split(" ", 1)[0]
        if isinstance(failure, redis_errors.AuthenticationError) or first in (
            "NOAUTH",
            "WRONGPASS",
        ):
            return Fault(STORE_PASSWORD, address=shown, reason=text)
        if any(words in text for words in _REFUSALS):
            return Fault(STORE_REFUSES, address=shown, reason=text)
        if isinstance(failure, _AWAY) or first in _BEGINS_AWAY or _closed_under(failure):
            return LostError(Fault(STORE_UNREACHABLE, address=shown, reason=text))
        if isinstance(
            failure, redis_errors.OutOfMemoryError | redis_errors.NoPermissionError
        ) or first in ("OOM", "MISCONF"):
            return Fault(STORE_REFUSES, address=shown, reason=text)
        return failure

    async def _setting(self, name: str) -> str | None:
        try:
            node = {"target_nodes": RedisCluster.RANDOM} if self.clustered else {}
            told = await self._client.config_get(name, **node)
        except redis_errors.RedisError as hidden:
            if name not in self._hidden:
                self._hidden.add(name)
                _log.info("the store does not show its settings", name=name, why=str(hidden))
            return None
        return {str(key): str(value) for key, value in _texts(told).items()}.get(name)


_SAFE = (
    ("appendonly", "yes", "a crash of the store loses what came since its last snapshot"),
    ("maxmemory-policy", "noeviction", "a full store throws tasks away"),
)


def _texts(told: dict[Any, Any]) -> dict[str, str]:
    def text(value: Any) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    return {text(key): text(value) for key, value in told.items()}


class Listener:
    """One subscription with the client it lives on."""

    def __init__(self, client: Any, subscription: Any) -> None:
        self._client = client
        self._subscription = subscription

    async def next(self) -> bytes:
        """The next message. Raises OSError or a redis error when the connection is lost."""
        async for message in self._subscription.listen():
            if message["type"] == "message":
                return cast("bytes", message["data"])
        raise ConnectionResetError("the subscription ended")

    async def aclose(self) -> None:
        await self._subscription.aclose()
        await self._client.aclose()
