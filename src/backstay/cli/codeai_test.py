"""`codeai test`: the `test` blocks of a program, on a clock that stands still."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import msgspec

from backstay.cli.codeai_run import load
from backstay.cli.face import emit_json, output_option
from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.core.errors import Exit, Fault
from backstay.core.virtual import VirtualClock
from backstay.lang.errors import CANNOT_WRITE
from backstay.lang.program import Program
from backstay.lang.script import Limits, Outcome, Outside, functions, run_tests
from backstay.lang.script.application import Application
from backstay.lang.script.errors import NO_TESTS

START = 1_767_225_600.0
"""Every test begins at 2026-01-01T00:00:00Z."""


class Timed(msgspec.Struct, frozen=True):
    """An outcome and the seconds it took."""

    outcome: Outcome
    took: float


@click.command("test")
@click.argument("paths", metavar="FILE|FOLDER|-", nargs=-1)
@click.option("--only", metavar="TEXT", default="", help="Tests whose name holds this text.")
@click.option(
    "--max-steps",
    type=click.IntRange(1, 10**9),
    default=Limits().steps,
    show_default=True,
    help="Statements and expressions before a test is ended.",
)
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a JUnit XML report, too.",
)
@output_option
def test(paths: Sequence[str], only: str, max_steps: int, junit: Path | None, output: str) -> int:
    """Run the tests of a program; without a path those of this folder.

    A test has a clock that stands still until advance, starting at 2026-01-01T00:00:00Z, and
    neither the environment nor the machine.

    Exit code 0: every test passed, 1: a test failed, or the program has mistakes, 2: none failed,
    but one needs the running application and was not run; or there is no test.
    """
    given = tuple(paths) or (".",)
    loaded = load(given)
    if loaded is None:
        return Exit.NEGATIVE
    say = _said if output == "text" else _nothing
    found: list[Timed] = []
    program, files = loaded
    outcomes = run_tests(
        files,
        lambda: _world(program),
        Limits(steps=max_steps),
        lambda name: only.lower() in name.lower(),
    )
    clock = SystemClock()
    started = clock.tick()
    for outcome in outcomes:
        ended = clock.tick()
        found.append(Timed(outcome, ended - started))
        say(outcome)
        started = clock.tick()
    if not found:
        raise Fault(NO_TESTS, paths=", ".join(given))
    if junit is not None:
        _write(junit, _report(found))
    if output == "json":
        emit_json(_summary(found))
    else:
        click.echo(f"\n{_counts(found)}")
    if _count(found, "failed"):
        return Exit.NEGATIVE
    return Exit.USAGE if _count(found, "not run") else Exit.OK


def _world(program: Program) -> Outside:
    """The same for every test: a clock, names and chance that begin anew. The application is
    loaded and started by the first statement that needs it."""
    clock = VirtualClock(START)
    ids, dice = Uuid7(clock), SystemDice(1)
    world = functions(clock.now, ids.new, dice.uniform)

    def application() -> Application:
        from backstay.up.trial import trial_of

        return trial_of(program, clock, ids, dice)

    return Outside(functions=world, advance=clock.advance_now, application=application)


# --- text ----------------------------------------------------------------------------------------


def _nothing(_: Outcome) -> None:
    pass


def _said(outcome: Outcome) -> None:
    click.echo(f"{outcome.outcome:>7}  {_clean(outcome.name)}")
    if outcome.outcome == "passed":
        return
    click.echo("\n".join(f"         {_clean(line)}" for line in _details(outcome)))


def _details(outcome: Outcome) -> list[str]:
    what = f"{outcome.code}: {outcome.message}" if outcome.code else outcome.message
    lines = [f"{outcome.place}: {what}"]
    lines += [f"  {side.text} is {side.value}" for side in outcome.sides if side.text != side.value]
    if outcome.output:
        lines.append("  printed:")
        lines += [f"    {line}" for line in outcome.output.splitlines()]
    return lines


def _count(found: Sequence[Timed], outcome: str) -> int:
    return sum(each.outcome.outcome == outcome for each in found)


def _counts(found: Sequence[Timed]) -> str:
    parts = [(_count(found, each), each) for each in ("passed", "failed", "not run")]
    return ", ".join(f"{count} {word}" for count, word in parts if count)


# --- JSON and JUnit ------------------------------------------------------------------------------


def _summary(found: Sequence[Timed]) -> object:
    tests = [
        {**msgspec.to_builtins(each.outcome), "seconds": round(each.took, 6)} for each in found
    ]
    return {
        "passed": _count(found, "passed"),
        "failed": _count(found, "failed"),
        "not_run": _count(found, "not run"),
        "tests": tests,
    }


def _report(found: Sequence[Timed]) -> bytes:
    """JUnit XML: a suite for each file. What was not run is an error there, never a skip."""
    root = ET.Element("testsuites", _totals(found))
    for file in dict.fromkeys(each.outcome.file for each in found):
        mine = [each for each in found if each.outcome.file == file]
        suite = ET.SubElement(root, "testsuite", {"name": _clean(file), **_totals(mine)})
        for each in mine:
            _case(suite, each)
    ET.indent(root)
    made: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"


def _totals(found: Sequence[Timed]) -> dict[str, str]:
    return {
        "tests": str(len(found)),
        "failures": str(_count(found, "failed")),
        "errors": str(_count(found, "not run")),
        "time": f"{sum(each.took for each in found):.6f}",
    }


def _case(suite: ET.Element, each: Timed) -> None:
    outcome = each.outcome
    about = {
        "name": _clean(outcome.name),
        "classname": _clean(Path(outcome.file).stem),
        "file": _clean(outcome.file),
        "line": str(outcome.line),
        "time": f"{each.took:.6f}",
    }
    case = ET.SubElement(suite, "testcase", about)
    if outcome.outcome == "passed":
        return
    kind = "failure" if outcome.outcome == "failed" else "error"
    says = {"message": _clean(outcome.message), "type": outcome.code or kind}
    ET.SubElement(case, kind, says).text = _clean("\n".join(_details(outcome)))


def _clean(text: str) -> str:
    """Without control characters: XML has no place for them, and a terminal obeys them."""
    return "".join(each if _fits(ord(each)) else "\ufffd" for each in text)


def _fits(code: int) -> bool:
    return code in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as bad:
        reason = (bad.strerror or str(bad)).lower()
        raise Fault(CANNOT_WRITE, path=str(path), reason=reason) from bad
