"""The checker's work grows with the length of a program, not with its square."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from backstay.lang.api import check_text
from backstay.lang.check.circles import circles
from backstay.lang.diagnostics import Diagnostic

ROW = "id: uuid, primary, auto"
START = "s {{ do {{ let _e = start {} {{ }} }} }}"


def numbered(text: str) -> Callable[[int], str]:
    return lambda count: "\n".join(text.replace("#", str(at)) for at in range(count))


def steps(text: str) -> Callable[[int], str]:
    inside = numbered(text)
    return lambda count: f"workflow w {{ input {{ ok: bool }}\n steps {{ {inside(count)} }} }}"


def started(*, ring: bool) -> Callable[[int], str]:
    """Workflows of which each starts the next, and the last, in a ring, the first."""

    def text(count: int) -> str:
        found = []
        for at in range(count):
            last = at == count - 1
            step = START.format(f"w{(at + 1) % count}")
            if last and not ring:
                step = "s { action: log_info(1) }"
            found.append(f"workflow w{at} {{ steps {{ {step} }} }}")
        return "\n".join(found)

    return text


def crowd(count: int) -> str:
    """Workflows that an event starts, of which each emits it."""
    flow = "workflow w# { trigger: Done\n steps { s { emit: Done { } } } }"
    return f"event Done {{ payload {{ }} }}\n{numbered(flow)(count)}"


PROGRAMS = {
    "the same condition": steps("s# { when: 1 == 1 action: log_info(1) }"),
    "conditional steps": steps("s# { when: ok and # > 0 action: log_info(1) }"),
    "steps that read": steps(
        "a# { when: ok query: count A\n }\n b# { when: ok action: log_info(steps.a#) }"
    ),
    "parallel steps": lambda count: (
        steps("s# { action: log_info(1) }")(count).replace("steps {", "steps { parallel {", 1)
        + " }"
    ),
    "steps": steps("s# { action: log_info(1) }"),
    "ring": started(ring=True),
    "chain": started(ring=False),
    "crowd": crowd,
    "rings": numbered(
        "workflow a# { steps { s { do { let _e = start b# { } } } } }\n"
        "workflow b# { steps { s { do { let _e = start a# { } } } } }"
    ),
    "entities": numbered(f"entity B# {{ {ROW}\n name: string\n a: ref(A) }}"),
    "entities in a chain": numbered(f"entity B# {{ {ROW}\n before: ref(B#) }}"),
    "endpoints": numbered(
        "endpoint GET /b# {\n auth: public\n returns: paginated(A)\n filter: [name]\n }"
    ),
    "jobs": numbered('job j# { schedule: "0 0 * * *"\n do { delete A where name == "x" } }'),
    "events": numbered("event E# { payload { n: int } }"),
    "fields": lambda count: f"entity B {{ {ROW}\n{numbered('f#: int')(min(count, 900))} }}",
    "statements": lambda count: (
        f'job j {{ schedule: "0 0 * * *"\n do {{ {numbered("let _x# = 1")(count)} }} }}'
    ),
    "functions": numbered("function f#(a: int) -> int { return a }"),
    "integrations": numbered(
        'integration I# { base_url: env("URL")\n operation o { method: GET\n path: "/x" } }'
    ),
}


def work(text: str) -> tuple[int, list[Diagnostic]]:
    """Calls, of functions written in C as well, and what was found."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        _, found = check_text("a.cai", text)
    finally:
        sys.setprofile(before)
    return calls, found


@pytest.mark.parametrize("name", PROGRAMS)
def test_eight_times_the_program_is_about_eight_times_the_work(name: str) -> None:
    program = PROGRAMS[name]
    entity = f"entity A {{ {ROW}\n name: string }}\n"
    work(entity + program(5))  # what is read once, at the first use, does not count
    once, _ = work(entity + program(40))
    often, found = work(entity + program(320))
    assert [each for each in found if each.severity == "error"] == []
    assert often <= once * 12


def test_circles_are_the_groups_that_lead_to_each_other() -> None:
    after = {"a": ["b"], "b": ["c", "x"], "c": ["a", "b"], "d": ["d", "a"], "e": ["c"]}
    assert set(circles(after)) == {frozenset("abc"), frozenset("d")}
    long = {str(at): [str(at + 1)] for at in range(5000)} | {"5000": ["0"]}
    assert [len(group) for group in circles(long)] == [5001]


def test_the_shortest_way_back_is_named_once_for_each_circle() -> None:
    flows = {"a": "b", "b": "c", "c": "a", "d": "e", "e": "d", "f": "a"}
    text = "\n".join(
        f"workflow {name} {{ steps {{ {START.format(follows)} }} }}"
        for name, follows in flows.items()
    )
    short = "steps { t { do { let _e = start a { } } } s"
    text = text.replace("workflow b { steps { s", f"workflow b {{ {short}")
    said = [each.message for each in check_text("a.cai", text)[1] if each.code == "LANG162"]
    assert said == [
        "workflow 'a' starts itself again each time: a -> b -> a",
        "workflow 'd' starts itself again each time: d -> e -> d",
    ]


def test_an_activity_that_reads_like_an_event_starts_nothing() -> None:
    flow = 'workflow w { trigger: Done\n steps { s { activity: "event Done" } } }'
    text = f"event Done {{ payload {{ }} }}\n{flow}"
    assert [each.code for each in check_text("a.cai", text)[1] if each.code == "LANG162"] == []
