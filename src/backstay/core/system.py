"""What a system declares about itself. `up` composes systems from these values and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from backstay.core.errors import ErrorEntry

RouteKind = Literal["unary", "long", "stream"]
Auth = Literal["public", "token", "admin"]
"""What a path at the gateway is. Only `unary` ones feed slow-call rules and total timeouts."""


class Metric(msgspec.Struct, frozen=True):
    """A declared time series: `labels` must be of bounded cardinality."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class System(msgspec.Struct, frozen=True):
    """The declarations of one system. `build` takes its Process (and what it needs of others) and
    returns services and loops. Its routes stand in the gateway's table, its console scripts in
    pyproject.toml, its guides in `systems.GUIDES`."""

    name: str
    settings: type[msgspec.Struct]
    errors: Sequence[ErrorEntry]
    metrics: Sequence[Metric]
    build: Callable[..., Any]
