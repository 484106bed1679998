"""How a store is named and reached: what settings say, without the client library behind it."""

import msgspec

from backstay.core.settings import Secret

DEFAULT_PORT = 6379


class RedisAddress(msgspec.Struct, frozen=True):
    """Where the store is: the text it was given as, without a password, and what that means.

    `HOST:PORT`, several of them with commas (nodes of a cluster), or a URL `redis://` or, with TLS,
    `rediss://[USER@]HOST:PORT`.
    """

    shown: str
    nodes: tuple[tuple[str, int], ...]
    tls: bool = False
    user: str = ""
    password: Secret = Secret("")

    @classmethod
    def parse(cls, text: str) -> "RedisAddress":
        """Raises ValueError that says what is wrong."""
        scheme, _, rest = text.rpartition("://")
        if scheme not in ("", "redis", "rediss"):
            raise ValueError(f"{scheme}:// is neither redis:// nor rediss://")
        credentials, _, hosts = rest.rstrip("/").rpartition("@")
        user, _, password = credentials.partition(":")
        nodes = tuple(_node(part) for part in hosts.split(",") if part)
        if not nodes:
            raise ValueError("no host is named")
        shown = ",".join(f"{host}:{port}" for host, port in nodes)
        return cls(shown, nodes, scheme == "rediss", user, Secret(password))


def _node(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), DEFAULT_PORT
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{port!r} is no port")
    return host.strip("[]") or "127.0.0.1", int(port)


class RedisStore(msgspec.Struct, frozen=True):
    """How to reach the store. `pool` is the most connections there will be, 2 or more."""

    address: RedisAddress
    password: Secret = Secret("")
    pool: int = 10
