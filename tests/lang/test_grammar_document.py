"""The grammar page lists what the parser reads: run this file to write it anew."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backstay.lang.api import check_text
from backstay.lang.parser import grammar, loose
from backstay.lang.parser.grammar import Slot
from backstay.lang.query.compile import compile as compile_query

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "language-grammar.md"
MARK = "<!-- from here on written by tests/lang/test_grammar_document.py -->\n"

SHAPES = {
    "expr": "EXPR",
    "text": '"text"',
    "version": '"text" or N',
    "word": "WORD",
    "names": "[NAME, …]",
    "flag": "[: true]",
    "used": "NAME or [NAME, …]",
    "index": "[NAME, …] [unique] [text|geospatial]",
    "fields": "{ FIELD … }",
    "schema": "{ NAME TYPE … }",
    "type": "TYPE",
    "body": "{ STATEMENT … }",
    "record": "{ NAME: EXPR … }",
    "setting": "EXPR, { NAME: … } or WORD { NAME: … }",
    "labelled": "jwt { … }",
    "path": "/PATH/{NAME}",
    "retry": "N times [with DELAY(…)], or a block",
    "rate": "N, N per DURATION or N failures in DURATION",
    "call": "INTEGRATION.OPERATION { NAME: EXPR … }",
    "task": "COMMAND { NAME: EXPR … }",
    "action": "ACTION [{ NAME: EXPR … }] or { STATEMENT … }",
    "compensate": "ACTION, or a block",
    "emit": "EVENT { NAME: EXPR … }",
    "trigger": 'EVENT, schedule "…", schedule every DURATION, manual or when EXPR',
    "schedule": '"cron" or every DURATION',
    "check": 'EXPR [else "text"]',
    "checks": '{ EXPR [else "text"] … }',
    "error": 'STATUS: "text"',
    "request": "NAME from body|query|path|header",
    "response": "NAME status STATUS",
    "query": "a query, in quotes or to the end of its lines",
    "block": "",
}


def page() -> str:
    return "".join(_blocks())


def _blocks() -> Iterator[str]:
    yield f"Declarations: `{'`, `'.join(grammar.DECLARATIONS)}`.\n"
    for name, slots in grammar.BLOCKS.items():
        if not slots:
            continue
        notes = []
        if name in grammar.WITH_FIELDS:
            notes.append("also fields, `NAME: TYPE, MODIFIER, …`")
        if name in grammar.OPEN:
            notes.append("also settings of other names")
        if name in loose.LOOSE:
            notes.append("members may share a line without commas")
        yield f"\n## {name}\n\n"
        if notes:
            yield f"{'; '.join(notes)}.\n\n".capitalize()
        yield "| member | value | |\n|---|---|---|\n"
        for member, slot in sorted(slots.items()):
            yield _row(name, member, slot)


def _row(block: str, member: str, slot: Slot) -> str:
    shape = f"the block {slot.block}" if slot.kind == "block" else SHAPES[slot.kind]
    notes = []
    if slot.many:
        notes.append("more than once")
    if slot.labelled:
        notes.append("with a name of its own")
    if f"{block}.{member}" in loose.BARE:
        notes.append("the colon may be missing")
    shape = shape.replace("|", "\\|")
    return f"| `{member}` | {shape} | {', '.join(notes)} |\n"


def test_the_page_lists_what_the_parser_reads() -> None:
    _, _, written = PAGE.read_text().partition(MARK)
    assert written == page(), "write it anew: python tests/lang/test_grammar_document.py"


@pytest.mark.parametrize(
    "name",
    [
        "reference/language.md",
        "reference/language-grammar.md",
        "reference/language-library.md",
        "reference/language-tests.md",
        "tutorial/first-script.md",
    ],
)
def test_programs_in_the_documents_check(name: str) -> None:
    found = re.findall(r"```cai\n(.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL)
    assert found
    for text in found:
        program, problems = check_text(name, text)
        assert program is not None, problems


SHOP = """
entity Customer { id: uuid, primary, auto
  email: string }
entity Product { id: uuid, primary, auto
  name: string, searchable
  price: decimal(10, 2)
  stock: int }
entity Line { id: uuid, primary, auto
  order: ref(Order)
  sku: string }
entity Order { id: uuid, primary, auto
  customer: ref(Customer)
  lines: list(Line)
  status: enum(paid, packed)
  total: decimal(10, 2)
  note: text, searchable
  created_at: timestamp }
"""


def test_queries_in_the_documents_compile_for_both_databases() -> None:
    page = (ROOT / "docs" / "reference" / "query-language.md").read_text()
    shop, problems = check_text("shop.cai", SHOP)
    assert shop is not None, problems
    (block,) = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    assert len(block.splitlines()) >= 6
    for text in block.splitlines():
        for dialect in ("sqlite", "postgres"):
            assert compile_query(shop, text, dialect, "Order").sql


if __name__ == "__main__":
    head, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(head + MARK + page())
