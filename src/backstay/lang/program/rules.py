"""What several declarations have in common: checks, rates, settings, retries."""

from typing import Literal

from backstay.lang.program.values import Expr, Frozen


class Check(Frozen, frozen=True):
    """What has to hold; `message` is the answer when it does not."""

    condition: Expr
    message: Expr | None = None


class Rate(Frozen, frozen=True):
    """`count` within `seconds`."""

    count: int
    seconds: float


class Settings(Frozen, frozen=True):
    """`label { name: value, … }`: settings that only the one who reads them knows. A value alone
    stands under the empty name; settings in settings have dotted names."""

    label: str
    values: tuple[tuple[str, Expr], ...]


class Retry(Frozen, frozen=True):
    """`times` tries in all; delays in seconds. The step's policy is the only owner of retries."""

    times: int = 1
    backoff: Literal["fixed", "linear", "exponential"] = "exponential"
    initial: float = 1.0
    cap: float = 60.0
