"""Rules of a declaration: when it runs, how often, what has to hold."""

from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import expression, separate
from backstay.lang.parser.literals import number
from backstay.lang.parser.settings import setting
from backstay.lang.parser.statements import dotted
from backstay.lang.syntax import (
    CheckNode,
    ChecksNode,
    EveryNode,
    Ident,
    Literal_,
    RateNode,
    RetryNode,
    TriggerNode,
    Value,
)


def retry(c: Cursor) -> Value:
    start = c.token
    times = number(c)
    if not c.at("times") and (c.token.first or c.token.kind in ("end", "op") or _old_retry(c)):
        return RetryNode(c.range(start), times)
    c.expect("times")
    if not c.accept("with"):
        return RetryNode(c.range(start), times)
    backoff = c.name("exponential_backoff, linear_backoff or fixed_delay")
    args = []
    if c.accept("("):
        while not c.at(")"):
            args.append(expression(c))
            if not c.accept(","):
                break
        c.expect(")")
    return RetryNode(c.range(start), times, backoff, tuple(args))


def _old_retry(c: Cursor) -> bool:
    """`retry 3 initial_interval "1s"` on one line."""
    return c.at("initial_interval", "backoff")


def rate(c: Cursor) -> Value:
    """`5`, `5 failures in 1m`, `100 per 1m`, `100/1m`."""
    if c.at("{"):
        return setting(c)
    if c.token.kind != "int" or c.ahead().text not in ("failures", "per", "/", "requests"):
        return expression(c)
    start = c.token
    c.note("rate", start)
    count = number(c)
    c.take()
    if c.at("in", "per"):
        c.take()
    return RateNode(c.range(start), count, _period(c))


def _period(c: Cursor) -> Literal_:
    """`1m`, or `minute`."""
    word = c.token
    seconds = _UNITS.get(word.text) if word.kind == "ident" and not word.first else None
    if seconds is None:
        return duration(c, "1m")
    c.take()
    return Literal_(c.range(word), "duration", seconds)


_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
"""`100 per minute`."""


def duration(c: Cursor, such_as: str) -> Literal_:
    if c.token.kind != "duration":
        raise c.expected(f"a duration such as {such_as}")
    return number(c)


def trigger(c: Cursor) -> Value:
    """`event "x"`, `schedule "…"`, `manual`, `when COND`, or the event alone."""
    start = c.token
    after = c.ahead()
    follows = not after.first and after.text not in ("}", ",")
    # Before a text or `every` a word that is close to one of the two is a slip of it.
    spoken = follows and (after.kind == "string" or after.text == "every")
    if c.at("when") and follows:
        c.take()
        return TriggerNode(c.range(start), "when", expression(c))
    if (spoken or (follows and c.at("schedule"))) and c.accept("schedule"):
        value = schedule(c)
        return TriggerNode(c.range(start), "schedule", value)  # type: ignore[arg-type]
    if c.at("manual"):
        c.take()
        return TriggerNode(c.range(start), "manual")
    if spoken or (follows and c.at("event")):
        c.accept("event")
    token = c.token
    if token.kind == "string":
        c.take()
        return TriggerNode(c.range(start), "event", Ident(c.range(token), str(token.value)))
    name = dotted(c, "the name of an event")
    return TriggerNode(c.range(start), "event", name)


def schedule(c: Cursor) -> Value:
    """`"0 2 * * *"` or `every 1h`."""
    start = c.token
    if start.kind == "duration" and not start.first:
        c.expected("'every'", insert="every")
        return EveryNode(c.range(start), duration(c, "1h"))
    if c.at("every") or (start.kind == "ident" and c.ahead().kind == "duration"):
        c.note("schedule.every", start)
        c.expect("every")
        period = duration(c, "1h")
        return EveryNode(c.range(start), period)
    return text(c)


def text(c: Cursor) -> Value:
    token = c.token
    if token.kind != "string":
        raise c.expected("a text in double quotes")
    c.take()
    return Literal_(c.range(token), "string", token.value)


def check(c: Cursor) -> Value:
    start = c.token
    condition = expression(c)
    message = None
    if c.at("else") and not c.token.first:
        c.take()
        message = expression(c)
    return CheckNode(c.range(start), condition, message)


def checks(c: Cursor) -> Value:
    """`validate { COND else "message" … }`."""
    start = c.expect("{")
    c.enter()
    found: list[CheckNode] = []

    def read() -> None:
        made = check(c)
        if isinstance(made, CheckNode):
            found.append(made)
        separate(c, "}")

    broken = c.listed(read)
    c.expect("}")
    c.depth -= 1
    return ChecksNode(c.range(start), tuple(found), broken)
