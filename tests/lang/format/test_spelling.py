"""Old spellings become the canonical one, and the program stays the same."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lang.format.meant import respelled

from backstay.lang.api import parse_text
from backstay.lang.format import format_text
from backstay.lang.lexer import lex
from backstay.lang.reports import Reports

PROGRAMS = Path(__file__).parents[1] / "programs"
OLD = sorted((PROGRAMS / "old").glob("*.cai"))


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_file_of_old_is_written_in_the_canonical_spelling(path: Path) -> None:
    text = path.read_text()
    once = respelled(text)
    assert once == path.with_suffix(".canonical").read_text()
    assert [_said(each) for each in (once, text)] == [_said(text)] * 2


def _said(text: str) -> list[str]:
    return [each.text.strip() for each in lex(text, Reports("")).comments]


@pytest.mark.parametrize("name", ["business", "original"])
def test_the_programs_of_the_dialects_stay_what_they_are(name: str) -> None:
    text = (PROGRAMS / f"{name}.cai").read_text()
    assert _said(respelled(text)) == _said(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A trigger that means something else when it stands alone keeps its word.
        ('trigger event "manual"', 'trigger: event "manual"'),
        ('trigger: event "when.done"', 'trigger: event "when.done"'),
        ('trigger "a.b"', "trigger: a.b"),
        ("trigger: event a.b", "trigger: a.b"),
        # No duration, no duration.
        ('timeout "soon"', 'timeout: "soon"'),
        ('timeout "1h30m"', "timeout: 1h30m"),
        ("timeout 1h", "timeout: 1h"),
        ('description: "30s"', 'description: "30s"'),
    ],
)
def test_what_is_as_clear_without_its_quotes(old: str, new: str) -> None:
    frame = 'workflow w {{\n  {}\n  steps {{ a {{ activity: "x" }} }}\n}}\n'
    assert respelled(frame.format(old)) == frame.format(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"/a" { returns: void }', "/a { returns: void }"),
        ('"/a/{id}" { path: { id: uuid } returns: A }', None),
        (
            '"/a/:id" { path { id: uuid }\n  returns: A }',
            "/a/{id} { path { id: uuid }\n  returns: A }",
        ),
        (
            '"/a/:id/:n" { path { id: uuid }\n  do { return path.id } }',
            '"/a/:id/:n" { path { id: uuid }\n  do { return path.id } }',
        ),
        ('"/a/:n" { returns: void }', "/a/{n} {\n  path { n: string }\n  returns: void\n}"),
        (
            '"/a/:n" { /* one\n  two */ returns: void }',
            "/a/{n} {\n  path { n: string }\n  /* one\n  two */ returns: void\n}",
        ),
        # `path` is a word of the endpoint's own here.
        ('"/a/:n" { do { f = find(path) } }', '"/a/:n" { do { f = find(path) } }'),
        ('"/a/:n" { do { path = find(a) } }', '"/a/:n" { do { path = find(a) } }'),
        ('"/*" { returns: void }', '"/*" { returns: void }'),
    ],
)
def test_the_path_of_an_endpoint(old: str, new: str | None) -> None:
    entity = "entity A {\n  id: uuid, primary, auto\n  n: int\n}\n\n"
    made = respelled(f"{entity}endpoint GET {old}\n")
    if new is None:
        new = "/a/{id} {\n  path { id: uuid }\n  returns: A\n}"
    assert made == f"{entity}endpoint GET {new}\n"


def test_members_part_with_their_comments() -> None:
    text = (
        'role a { /* who */ description: "x" /* may */ permissions ["b:c"] /* it */ } // end\n'
        "retrying()\n"
    )
    assert respelled(text) == (
        "role a { /* who */\n"
        '  description: "x" /* may */\n'
        '  permissions: ["b:c"] /* it */\n'
        "}  // end\n"
        "\n"
        "retrying()\n"
    )


# --- two spellings of everything ---------------------------------------------------------------

MEMBERS = {
    "integration crm": [
        ("type rest", "type: rest"),
        ('base_url "https://crm.example"', 'base_url: "https://crm.example"'),
        ('auth bearer { token: env("T") }', 'auth: bearer { token: env("T") }'),
        ('timeout "30s"', "timeout: 30s"),
        (
            'circuit_breaker { threshold 5 timeout "1m" max_concurrent 3 }',
            "circuit_breaker {\nthreshold: 5\ntimeout: 1m\nmax_concurrent: 3\n}",
        ),
    ],
    "webhook hook": [
        ('event "a_b"', 'event: "a_b"'),
        ('url "https://h.example"', 'url: "https://h.example"'),
        ('method "PUT"', "method: PUT"),
        ('headers { "A": "b" "C": "d" }', 'headers { "A": "b", "C": "d" }'),
        (
            'retry 3 initial_interval "500ms" backoff 2.0',
            "retry: 3\ninitial_interval: 500ms\nbackoff: 2.0",
        ),
    ],
    "workflow w": [
        ('trigger event "a.b"', "trigger: a.b"),
        ('timeout "1h"', "timeout: 1h"),
        ("retry { max_attempts 3 }", "retry { max_attempts: 3 }"),
        (
            'steps { a { activity "x" } b { activity "y" if "z" } }',
            'steps {\na { activity: "x" }\nb {\nactivity: "y"\nif: "z"\n}\n}',
        ),
    ],
    "job j": [
        ('schedule "0 2 * * *"', 'schedule: "0 2 * * *"'),
        ('task "clean"', 'task: "clean"'),
        ('queue "low"', "queue: low"),
        (
            'retry { max_attempts 2 initial_interval "1s" }',
            "retry {\nmax_attempts: 2\ninitial_interval: 1s\n}",
        ),
    ],
    "auth main": [
        ("method jwt", "method: jwt"),
        ('jwks_url "https://x.example"', 'jwks_url: "https://x.example"'),
        ('issuer "i"', 'issuer: "i"'),
    ],
    "middleware slow": [
        ("type rate_limiting", "type: rate_limiting"),
        ('config { requests: 1 window: "1m" }', 'config {\nrequests: 1\nwindow: "1m"\n}'),
    ],
    "event a_b": [
        ("schema { id uuid n int }", "schema { id: uuid, n: int }"),
        ('description: "x"', 'description: "x"'),
    ],
}
_PARTED = [" ", "\n", "\n\n", " /* why */ ", " // why\n", " # why\n\n"]


@st.composite
def _spellings(draw: st.DrawFn) -> tuple[str, str]:
    """One declaration as the old dialects write it, and as it is written now."""
    name = draw(st.sampled_from(sorted(MEMBERS)))
    chosen = draw(st.lists(st.sampled_from(MEMBERS[name]), min_size=2, unique=True))
    between = [draw(st.sampled_from(_PARTED)) for _ in chosen]
    between[0] = draw(st.sampled_from([" ", "\n"]))
    # Members are parted by lines as soon as two of them share one.
    between[1] = " "
    old = new = ""
    for (was, is_), gap in zip(chosen, between, strict=True):
        spelling = draw(st.sampled_from([was, is_]))
        old += gap + spelling
        new += (gap if "\n" in gap else f"{gap}\n") + is_
    return f"{name} {{{old} }}", f"{name} {{{new}\n}}"


@settings(max_examples=300, deadline=None)
@given(st.lists(_spellings(), min_size=1, max_size=3))
def test_either_spelling_gives_the_same_text(pairs: list[tuple[str, str]]) -> None:
    old = "\n".join(old for old, _ in pairs)
    assert parse_text("a.cai", old)[1] == []
    made = respelled(old)
    assert _said(made) == _said(old)
    assert made == format_text("\n".join(new for _, new in pairs))
