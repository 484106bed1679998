"""What can never run, may not have run, never fits or never ends: one small workflow each."""

import pytest

from backstay.lang.api import check_text

ENTITY = "entity Order { id: uuid, primary, auto\n  total: int\n  open: bool\n  state: string\n}\n"


def said(steps: str, *, members: str = "", rest: str = "") -> list[tuple[str, str]]:
    text = f"""{ENTITY}{rest}
workflow w {{
  input {{ order: ref(Order), n: int, kind: string, ok: bool }}
  {members}
  steps {{
    {steps}
  }}
}}
"""
    return [(each.code, each.message) for each in check_text("a.cai", text)[1]]


LOG = "action: log_info(1)"
NEVER = [("LANG115", "step 'b' can never run")]
MAYBE = [("LANG160", "step 'a' may not have run here")]


@pytest.mark.parametrize(
    "steps",
    [
        f'a {{ do {{ fail "no" }} }}\n b {{ {LOG} }}\n c {{ {LOG} }}',
        f'a {{ do {{ if ok {{ fail "x" }} else {{ fail "y" }} }} }}\n b {{ {LOG} }}',
        f"a {{ check: 1 > 2 }}\n b {{ {LOG} }}",
        f'parallel {{ a {{ do {{ fail "no" }} }}\n c {{ {LOG} }} }}\n b {{ {LOG} }}',
        f'b {{ when: kind == "x" and kind == "y" {LOG} }}',
        f"b {{ when: n > 5 and n < 3 {LOG} }}",
        f"b {{ when: n >= 5 and n < 5 {LOG} }}",
        f"b {{ when: n == 5 and n > 7 {LOG} }}",
        f"b {{ when: ok and not ok {LOG} }}",
        f"b {{ when: 2 > 3 or false {LOG} }}",
        f'b {{ when: (n > 1 and order.state == "x") and order.state != "x" {LOG} }}',
    ],
)
def test_a_step_that_can_never_run_is_named(steps: str) -> None:
    assert said(steps) == NEVER


@pytest.mark.parametrize(
    "steps",
    [
        f'a {{ when: ok do {{ fail "no" }} }}\n b {{ {LOG} }}',
        f'a {{ do {{ if ok {{ fail "no" }} }} }}\n b {{ {LOG} }}',
        f'a {{ do {{ fail "no" }} on_fail: skip }}\n b {{ {LOG} }}',
        f'a {{ for_each: [1, 2] do {{ fail "no" }} }}\n b {{ {LOG} }}',
        f'a {{ do {{ fail "no" }} on_fail: log_warning("x") }}\n b {{ {LOG} }}',
        f'b {{ when: kind == "x" or kind == "y" {LOG} }}',
        f"b {{ when: n >= 5 and n <= 5 {LOG} }}",
        f"b {{ when: n > 5 and n > 3 and n != 4 {LOG} }}",
        f'b {{ when: kind == "x" and order.state == "y" {LOG} }}',
        f"b {{ when: not (n == 1 and n == 2) {LOG} }}",
    ],
)
def test_a_step_that_may_run_is_left_alone(steps: str) -> None:
    assert said(steps) == []


COND = "a { when: ok query: count Order\n }"


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("b { action: log_info(steps.a) }", MAYBE),
        ("b { do { update Order where id == order.id { total: steps.a } } }", MAYBE),
        ("b { when: n > 1 action: log_info(steps.a) }", MAYBE),
        ("b { when: ok action: log_info(steps.a) }", []),
        ("b { when: n > 1 and ok action: log_info(steps.a) }", []),
        ("b { when: steps.a > 3 action: log_info(steps.a) }", []),
        ("b { action: log_info(steps.a ?? 0) }", []),
        ("b { action: log_info(steps.a == null ? 0 : steps.a) }", []),
        ("b { when: steps.a != null and steps.a > 3 action: log_info(1) }", []),
        (
            "b { do { if steps.a != null { update Order where id == order.id { total: steps.a } } } }",
            [],
        ),
    ],
)
def test_a_step_that_may_not_have_run_is_not_relied_upon(step: str, says: object) -> None:
    assert said(f"{COND}\n {step}") == says


def test_the_condition_of_a_step_for_each_item_may_ask_about_the_item() -> None:
    steps = f"b {{ for_each: [1, 2] as: each when: each > n {LOG} }}\n c {{ for_each: [1] when: item > n {LOG} }}"
    assert said(steps) == []


def test_steps_beside_and_after_cannot_be_read() -> None:
    later = "a { action: log_info(steps.b) }\n b { query: count Order\n }"
    beside = f"parallel {{ {later} }}"
    for steps in (later, beside):
        text = f"workflow w {{ steps {{ {steps} }} }}\n{ENTITY}"
        (one,) = check_text("a.cai", text)[1]
        assert one.code == "LANG037"
        assert one.hint.startswith("step 'b' runs beside this one or after it")


@pytest.mark.parametrize(
    ("steps", "timeout", "says"),
    [
        (
            "a { timeout: 10m retry: 4 times",
            "30m",
            "step 'a' may take 40m0s, but the workflow ends after 30m0s",
        ),
        ("a { timeout: 2h", "1h", "step 'a' may take 2h0m0s, but the workflow ends after 1h0m0s"),
        ("a { timeout: 25h", "", "step 'a' may take 25h0m0s, but the workflow ends after 24h0m0s"),
        ("a { timeout: 10m retry: 3 times", "30m", ""),
        ("a { retry: 900 times", "1s", ""),
    ],
)
def test_attempts_that_do_not_fit_into_the_workflow(steps: str, timeout: str, says: str) -> None:
    members = f"timeout: {timeout}" if timeout else ""
    found = said(f"{steps} {LOG} }}", members=members)
    assert found == ([("LANG161", says)] if says else [])


def test_what_surely_fails_has_nothing_to_compensate() -> None:
    steps = 'a { do { fail "no" } compensate: log_info("x") }'
    assert ("LANG116", "step 'a' has nothing to compensate") in said(steps)


def test_statements_behind_the_end_are_named() -> None:
    steps = 'a { do { fail "no"\n delete Order where id == order.id } }'
    assert said(steps) == [("LANG163", "nothing runs after this fail")]
    function = "function f(a: int) -> int { if a > 1 { return 1 } else { return 2 }\n return a }\n"
    script = f"{function}print(f(1))"
    found = check_text("a.cai", script)[1]
    assert [(each.code, each.message) for each in found] == [
        ("LANG163", "nothing runs after this if")
    ]


def _endless(*parts: str) -> list[str]:
    text = ENTITY + "\n".join(parts)
    return [each.message for each in check_text("a.cai", text)[1] if each.code == "LANG162"]


def test_workflows_that_start_each_other_for_ever() -> None:
    a = "workflow a { steps { x { do { let _e = start b { } } } } }"
    b = "workflow b { steps { x { action: log_info(1) }\n y { emit: Done { } } } }"
    event = "event Done { payload { } }"
    c = "workflow c { trigger: Done\n steps { x { do { let _e = start a { } } } } }"
    assert _endless(a, b, c, event) == [
        "workflow 'a' starts itself again each time: a -> b -> c -> a"
    ]
    assert _endless(a, b, event) == []
    sometimes = c.replace("x { do", 'x { when: 1 > 0 or env("A") == "b" do')
    assert _endless(a, b, sometimes, event) == []
    stops = c.replace("x {", 'y { check: env("A") == "b" }\n x {')
    assert _endless(a, b, stops, event) == []
