"""Before anything is called wrong, what did not pass is asked again, with more patience."""

import asyncio
from pathlib import Path

from backstay.core.guide import Cause, Evidence, Guide, Probe, Target
from backstay.doctor.session import Question, diagnose


def _guide(answers: list[str], waits: list[float]) -> Guide:
    """A guide with one probe that gives `answers` one after the other, each after its wait."""

    async def look(target: Target) -> Evidence:
        await asyncio.sleep(waits.pop(0))
        reading = answers.pop(0)
        return Evidence("pulse.beat", reading, "pass" if reading == "beats" else "fail")

    probe = Probe("pulse.beat", "does it beat", "outside", ("beats", "stands"), look, deadline=0.1)
    cause = Cause("standstill", "it stands still", 0.2, {"pulse.beat": {"stands": 0.95}})
    return Guide("pulse", "The pulse", "", (), (probe,), (cause,), ())


def _ask(guide: Guide, folder: Path) -> str:
    target = Target(data=folder, runtime=folder, base_url="http://127.0.0.1:1")
    return diagnose((guide,), Question(target)).status


def test_what_passes_at_the_second_look_was_no_fault(tmp_path: Path) -> None:
    assert _ask(_guide(["stands", "beats"], [0.0, 0.0]), tmp_path) == "healthy"


def test_a_busy_machine_is_waited_for(tmp_path: Path) -> None:
    # The first answer is cut off after 0.1 s, the second comes within three times as much.
    assert _ask(_guide(["beats"], [5.0, 0.2]), tmp_path) == "healthy"


def test_a_real_fault_is_still_there(tmp_path: Path) -> None:
    assert _ask(_guide(["stands", "stands"], [0.0, 0.0]), tmp_path) == "wrong"


def test_what_passes_at_once_is_asked_once(tmp_path: Path) -> None:
    answers = ["beats", "stands"]
    assert _ask(_guide(answers, [0.0, 0.0]), tmp_path) == "healthy"
    assert answers == ["stands"]
