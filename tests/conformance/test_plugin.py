"""The plugin in a pytest run of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Run = Any


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a test file under the plugin; returns its records by test name and the result."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("BACKSTAY_RESULTS", str(pytester.path / "results"))
    pytester.makeini("[pytest]\nmarkers = seed(*ids): statements\nasyncio_mode = auto\n")

    def begin(source: str, *options: str) -> tuple[dict[str, Any], pytest.RunResult]:
        pytester.makepyfile(source)
        result = pytester.runpytest_subprocess("-p", "tests.conformance.plugin", *options)
        files = sorted((pytester.path / "results").glob("*.jsonl"))
        lines = [json.loads(text) for file in files for text in file.read_text().splitlines()]
        return {record["test"].split("::")[-1]: record for record in lines}, result

    return begin


def test_names_and_markers_are_recorded_together(run: Run) -> None:
    records, _ = run(
        """
        import pytest

        @pytest.mark.seed("Q13", "C24")
        def test_Q12_a_thing():
            pass

        def test_other():
            pass
        """
    )
    assert records["test_Q12_a_thing"]["ids"] == ["C24", "Q12", "Q13"]
    assert records["test_other"]["ids"] == []


def test_outcomes_of_every_phase_are_recorded(run: Run) -> None:
    records, _ = run(
        """
        import pytest

        @pytest.fixture
        def broken():
            raise RuntimeError

        @pytest.fixture
        def breaks_late():
            yield
            raise RuntimeError

        @pytest.fixture
        def absent():
            pytest.skip("redis-cli is absent")

        def test_good(): pass
        def test_bad(): assert False
        def test_setup(broken): pass
        def test_teardown(breaks_late): pass
        def test_skipped(absent): pass
        @pytest.mark.xfail
        def test_known(): assert False
        """
    )
    outcomes = {name: record["outcome"] for name, record in records.items()}
    assert outcomes == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_setup": "failed",
        "test_teardown": "failed",
        "test_skipped": "skipped",
        "test_known": "failed",
    }
    assert records["test_skipped"]["reason"] == "redis-cli is absent"


def test_processes_are_found_however_they_are_started(run: Run) -> None:
    records, _ = run(
        """
        import asyncio, subprocess, sys

        def test_popen():
            subprocess.run([sys.executable, "-c", "pass"])

        def test_module():
            subprocess.run([sys.executable, "-m", "this"], capture_output=True)

        async def test_asyncio():
            process = await asyncio.create_subprocess_exec("true")
            await process.wait()

        def test_named(real_process):
            real_process("valkey-server 9.1.2", 4711)

        def test_alone():
            pass
        """
    )
    assert {name: record["processes"] for name, record in records.items()} == {
        "test_popen": ["python -c"],
        "test_module": ["python -m this"],
        "test_asyncio": ["true"],
        "test_named": ["valkey-server 9.1.2"],
        "test_alone": [],
    }


def test_a_shared_servers_process_counts_for_each_test_that_uses_it(run: Run) -> None:
    records, _ = run(
        """
        import subprocess
        import pytest

        @pytest.fixture(scope="module")
        def server():
            subprocess.run(["true"])

        @pytest.fixture
        def client(server):
            return 1

        def test_first(client): pass
        def test_second(client): pass
        def test_on_demand(request): request.getfixturevalue("server")
        def test_without(): pass
        """
    )
    assert records["test_first"]["processes"] == ["true"]
    assert records["test_second"]["processes"] == ["true"]
    assert records["test_on_demand"]["processes"] == ["true"]
    assert records["test_without"]["processes"] == []


def test_only_tests_of_the_asked_lists_run(run: Run) -> None:
    source = """
        def test_Q1_a(): pass
        def test_C1_b(): pass
        def test_c(): pass
    """
    assert set(run(source, "--conformance=Q")[0]) == {"test_Q1_a"}
    assert set(run(source, "--conformance=ALL")[0]) == {"test_Q1_a", "test_C1_b"}


def test_a_mistyped_id_stops_the_run(run: Run) -> None:
    _, result = run("def test_Q47_there_is_none(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Q47, which no list has" in result.stderr.str() + result.stdout.str()


def test_workers_of_a_parallel_run_write_files_of_their_own(run: Run) -> None:
    records, result = run("def test_Q1_a(): pass\ndef test_Q2_b(): pass", "-n2")
    result.assert_outcomes(passed=2)
    assert set(records) == {"test_Q1_a", "test_Q2_b"}
