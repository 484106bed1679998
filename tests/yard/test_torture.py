"""The time box and the seed of torture tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)


def test_torture_tests_share_the_budget(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORTURE_SECONDS", "900")
    pytester.makepyfile(
        """
        def test_a(torture_seconds): assert torture_seconds == 450
        def test_b(torture_seconds): assert torture_seconds == 450
        def test_c(): pass
        """
    )
    pytester.runpytest_subprocess("-p", "tests.torture").assert_outcomes(passed=3)


def test_a_seed_repeats_the_same_chances(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKSTAY_SEED", "abc")
    pytester.makepyfile("def test_it(chance): print('DREW', chance.random())")

    def drew() -> list[str]:
        result = pytester.runpytest_subprocess("-p", "tests.torture", "-rP")
        return [line for line in result.outlines if line.startswith(("DREW", "BACKSTAY_SEED"))]

    first = drew()
    assert first[0] == "BACKSTAY_SEED=abc"
    assert drew() == first
    monkeypatch.setenv("BACKSTAY_SEED", "abd")
    assert drew()[1] != first[1]
