"""The promises of the queue, judged from outside: observations in, violations out. Pure."""

from collections.abc import Callable, Iterable, Iterator

from tests.queue.history.events import Seen, Violation
from tests.queue.history.rules_bounds import bounds_hold, order_is_kept
from tests.queue.history.rules_tasks import (
    attempts_count_deliveries,
    callbacks_are_owed,
    every_task_has_a_fate,
    fire_times_make_one_task,
    keys_make_one_task,
    leases_exclude_each_other,
    results_stand,
    tenants_are_apart,
    time_is_waited_for,
)
from tests.queue.history.story import Story

RULES: tuple[Callable[[Story], Iterator[Violation]], ...] = (
    every_task_has_a_fate,
    leases_exclude_each_other,
    results_stand,
    attempts_count_deliveries,
    time_is_waited_for,
    order_is_kept,
    tenants_are_apart,
    keys_make_one_task,
    bounds_hold,
    fire_times_make_one_task,
    callbacks_are_owed,
)


def check(
    history: Iterable[Seen],
    *,
    retention: float = float("inf"),
    drained: bool = False,
    steady: bool = True,
) -> list[Violation]:
    """Everything that contradicts a promise; empty for a history that a right queue can have.

    `retention` in seconds, as the queue was told. `drained`: workers were let finish everything
    before the final reading, so that nothing may be left open. `steady`: nobody set the wall clock.
    """
    story = Story(history, retention=retention, drained=drained, steady=steady)
    return [violation for rule in RULES for violation in rule(story)]
