"""Retries in both spellings."""

from typing import Literal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.world import Checker
from backstay.lang.names import suggestion

BACKOFFS: dict[str, Literal["fixed", "linear", "exponential"]] = {
    "exponential_backoff": "exponential",
    "linear_backoff": "linear",
    "fixed_delay": "fixed",
}


MOST_TRIES = 1000


def any_retry(k: Checker, members: Members) -> p.Retry | None:
    """`retry: …` in either spelling."""
    block = members.block("retry")
    if block is not None:
        return retry_rule(k, block)
    node = members.value("retry", s.RetryNode)
    return retry_of(k, node) if node else None


def retry_rule(k: Checker, block: s.Block) -> p.Retry:
    """`retry { max_attempts 3 initial_interval "1s" backoff_multiplier 2.0 }`."""
    members, default = Members(k, block), p.Retry()
    times = members.expression("max_attempts")
    tries = 3
    if isinstance(times, s.Literal_) and times.value == 0:
        what = "retry max_attempts must be positive"
        k.error(e.BAD_SETTING, times.span, what=what, fix="write 1 or more")
    elif times is not None:
        tries = members.integer("max_attempts", 3, 1, MOST_TRIES)
    factor = members.expression("backoff_multiplier")
    positive_backoff(k, factor)
    initial = members.seconds("initial_interval", default.initial)
    fixed = isinstance(factor, s.Literal_) and str(factor.value) in ("1", "1.0")
    cap = members.seconds("max_interval", max(default.cap, initial))
    return p.Retry(tries, "fixed" if fixed else "exponential", initial, cap)


def positive_backoff(k: Checker, node: s.Expr | None) -> None:
    """Delays grow, or stay."""
    number = isinstance(node, s.Literal_) and node.literal in ("int", "decimal")
    if number and isinstance(node, s.Literal_) and float(str(node.value)) < 1:
        what = "retry backoff must be >= 1.0"
        k.error(e.BAD_SETTING, node.span, what=what, fix="write 1.0 or more")


def retry_of(k: Checker, node: s.RetryNode | None) -> p.Retry:
    """`4 times with exponential_backoff(200ms, 2s)`."""
    if node is None:
        return p.Retry()
    times = node.times.value
    if not isinstance(times, int) or not 1 <= times <= MOST_TRIES:
        what = f"retry takes 1 to {MOST_TRIES} tries, not {times}"
        k.error(e.BAD_RETRY, node.times.span, what=what)
        times = 1
    if node.backoff is None:
        return p.Retry(times)
    kind = BACKOFFS.get(node.backoff.name)
    if kind is None:
        what = f"unknown delay '{node.backoff.name}'; there are {', '.join(BACKOFFS)}"
        span = k.reports.at(node.backoff.span)
        edit = suggestion(node.backoff.name, BACKOFFS, span)
        k.error(e.BAD_RETRY, node.backoff.span, edit=edit, expected=tuple(BACKOFFS), what=what)
        return p.Retry(times)
    default = p.Retry()
    most = 1 if kind == "fixed" else 2
    if len(node.args) > most:
        name, got = node.backoff.name, len(node.args)
        k.error(e.WRONG_ARGUMENTS, node.backoff.span, name=name, wanted=most, got=got)
    seconds = [_seconds(k, arg) for arg in node.args[:most]]
    initial = seconds[0] if seconds and seconds[0] is not None else default.initial
    cap = seconds[1] if len(seconds) > 1 and seconds[1] is not None else max(default.cap, initial)
    if cap < initial:
        what = "the first delay is longer than the longest"
        k.error(e.BAD_RETRY, node.args[1].span, what=what)
    return p.Retry(times, kind, initial, cap)


def _seconds(k: Checker, node: s.Expr) -> float | None:
    if isinstance(node, s.Literal_) and node.literal == "duration":
        return float(node.value or 0)
    k.error(e.NOT_CONSTANT, node.span, what="a delay", wanted="a duration such as 200ms")
    return None
