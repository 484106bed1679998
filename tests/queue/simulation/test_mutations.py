"""The checker can fail: the engine is broken on purpose, one promise at a time, and what clients
see of it, alone, without the memory engine, tells it from a right one."""

import pytest
from tests.queue.simulation.mutations import MUTATIONS
from tests.queue.simulation.running import broken

ENOUGH = 200
"""Histories within which a broken promise must have shown. Most show within five."""


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_engine_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    breaks, rules = MUTATIONS[name]
    spoil = breaks(monkeypatch)
    for seed in range(ENOUGH):
        found = {violation.rule for violation in broken(seed, strict=False, spoil=spoil)}
        if found & rules:
            print(f"caught by history {seed}: {sorted(found)}")
            return
    pytest.fail(f"{ENOUGH} histories did not show it")


def test_the_memory_engine_objects_to_what_clients_cannot_see(monkeypatch: pytest.MonkeyPatch):
    """The error of a failed delivery that is kept nowhere breaks no promise to a client, yet it is
    not what was specified."""
    breaks, _ = MUTATIONS["an_abandon_gives_two_deliveries_back"]
    breaks(monkeypatch)
    found = [violation.rule for seed in range(5) for violation in broken(seed)]
    assert "model" in found
