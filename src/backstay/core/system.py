"""What a system declares about itself. `up` composes systems from these values and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from backstay.core.errors import ErrorEntry

RouteKind = Literal["unary", "long", "stream"]
Auth = Literal["public", "token", "admin"]


class Route(msgspec.Struct, frozen=True):
    """A path prefix at the gateway. Only `unary` routes feed slow-call rules and total timeouts."""

    prefix: str
    kind: RouteKind
    auth: Auth


class Metric(msgspec.Struct, frozen=True):
    """A declared time series: `labels` must be of bounded cardinality."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class System(msgspec.Struct, frozen=True):
    """The declarations of one system. `commands` maps a console script to its dotted entry point;
    `build` takes (settings, ports) and returns the services and loops of the process."""

    name: str
    settings: type[msgspec.Struct]
    errors: Sequence[ErrorEntry]
    metrics: Sequence[Metric]
    routes: Sequence[Route]
    commands: dict[str, str]
    build: Callable[..., Any]
