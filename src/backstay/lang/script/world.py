"""The functions of the library that ask the world, made of a clock, names and chance."""

from collections.abc import Callable, Mapping

from backstay.lang.library.times import day_of
from backstay.lang.library.values import Timestamp, Value, stamp

Ask = Callable[[], Value]


def functions(
    now: Callable[[], float],
    new_id: Callable[[], str],
    uniform: Callable[[float, float], float],
) -> Mapping[str, Ask]:
    """`now` gives epoch seconds, `new_id` an id, `uniform` a number in [low, high)."""

    def moment() -> Timestamp:
        return stamp(round(now() * 1_000_000))

    return {
        "now": moment,
        "today": lambda: day_of(moment()),
        "uuid": new_id,
        "random": lambda: uniform(0.0, 1.0),
    }
