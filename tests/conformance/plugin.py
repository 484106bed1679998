"""Records of every test: which statements it proves, how it ended, which processes it had.

They are JSON lines under tests/.results (or BACKSTAY_RESULTS), one file per pytest process;
`python -m tests.conformance.table` reads them. With `--conformance LETTERS` only tests that prove
a statement of those lists run (`ALL` for every list).
"""

import json
import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import processes
from tests.conformance.statements import LETTERS, ids_in_name, statements, unknown

RESULTS = Path(__file__).parents[1] / ".results"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--conformance",
        metavar="LETTERS",
        help="run only the tests that prove a statement of these lists, e.g. Q, QC or ALL",
    )


def pytest_configure(config: pytest.Config) -> None:
    processes.watch()
    folder = Path(os.environ.get("BACKSTAY_RESULTS", RESULTS))
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    if not worker:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    config.pluginmanager.register(Recorder(folder / f"{worker or 'main'}.jsonl"), "recorder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    known = statements()
    for item in items:
        foreign = unknown(ids_of(item), known)
        if foreign:
            raise pytest.UsageError(f"{item.nodeid} claims {foreign[0]}, which no list has")
    wanted = config.getoption("--conformance")
    if not wanted:
        return
    letters = set(LETTERS) if wanted.upper() == "ALL" else set(wanted.upper())
    if letters - set(LETTERS):
        raise pytest.UsageError(f"--conformance takes {''.join(LETTERS)} or ALL, not {wanted}")
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        (kept if letters & {own[0] for own in ids_of(item)} else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def ids_of(item: pytest.Item) -> list[str]:
    """Statements named by the test or by its `seed` markers."""
    marked = [str(own) for mark in item.iter_markers("seed") for own in mark.args]
    return sorted({*ids_in_name(item.name), *marked})


@pytest.fixture(scope="session")
def real_process() -> Callable[[str, int], None]:
    """`real_process(name, pid)`: name a process of the running fixture or test."""
    return processes.real_process


class Recorder:
    """Follows fixtures and tests of one pytest process and writes one line per test."""

    def __init__(self, file: Path) -> None:
        # Closed by pytest_unconfigure.
        self._out = file.open("w", encoding="utf-8")
        self._of_fixture: dict[Any, dict[int, str]] = {}
        self._own: dict[int, str] = {}
        self._used: list[Any] = []
        self._ended: dict[str, tuple[str, str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        with processes.scope() as begun:
            # Shared at once: a fixture that fails half-way still had its processes.
            self._of_fixture[fixturedef] = begun
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._ended.pop(item.nodeid, None)
        self._used = []
        with processes.scope() as self._own:
            answer = yield
        self._write(item)
        return answer

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        self._used = _fixtures_of(item)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "failed" or hasattr(report, "wasxfail"):
            # Also an expected failure: the statement does not hold, which is all that counts.
            self._ended[report.nodeid] = ("failed", report.when)
        elif report.outcome == "skipped":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self._ended[report.nodeid] = ("skipped", reason.removeprefix("Skipped: "))

    def pytest_unconfigure(self) -> None:
        self._out.close()

    def _write(self, item: pytest.Item) -> None:
        outcome, reason = self._ended.pop(item.nodeid, ("passed", ""))
        begun = dict(self._own)
        for fixture in self._used:
            begun.update(self._of_fixture.get(fixture, {}))
        record = {
            "test": item.nodeid,
            "ids": ids_of(item),
            "outcome": outcome,
            "reason": reason,
            "processes": sorted(set(begun.values())),
        }
        self._out.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._out.flush()


def _fixtures_of(item: pytest.Item) -> list[Any]:
    # Those that pytest really made or took from an earlier test, also by request.getfixturevalue;
    # it forgets them with the teardown.
    return list(getattr(getattr(item, "_request", None), "_fixture_defs", {}).values())
