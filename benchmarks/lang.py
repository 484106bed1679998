"""What the language costs: checking, typing in an editor, and the command as a whole.

    python benchmarks/lang.py [--runs 7] [--keys 300] [--quick]

1. parse and check of a program of 3,000 lines, cold: each run is a new process, imports left out;
2. the same of a typical application of 11.7 KB, in a process that has checked others before;
3. from a key pressed to its diagnostics, over the real protocol, in 3,000 lines: p50 and p95, and
   the server's CPU for one key; half of the keys are pressed in an expression, half in the name of
   a field, and each is deleted again. Then the same of the keys that change how everything behind
   them reads: a quote, a brace, the opening of a comment;
4. `codeai validate` of a small file as a whole process, beside `python -c pass`;
5. beside it, in the same run: Lark (LALR, `pip install lark`) reading the same 3,000 lines with a
   grammar of words, signs and nested brackets: less than a parser of the language has to do, and
   none of its checks.

Medians of several runs; CPU is that of the process. The machine's noise is in the wall times.
"""

import argparse
import asyncio
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from backstay.lang.api import check_text

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "examples" / "orders" / "app.cai"
LINES, TYPICAL_BYTES = 3000, 11_700
GRAMMAR = r"""
start: (WORD | STRING | NUMBER | SIGN | path | group)*
path: "/"
group: "{" start "}" | "(" start ")" | "[" start "]"
WORD: /[A-Za-z_][A-Za-z0-9_]*/
STRING: /"([^"\\\n]|\\.)*"/
NUMBER: /\d[\w.]*/
SIGN: /[-+*%<>=?:,.!@]+/
COMMENT: /#[^\n]*/
%ignore COMMENT
%ignore /\s+/
"""
COLD = """
import sys, time
from backstay.lang.api import check_text
text = open(sys.argv[1]).read()
wall, cpu = time.perf_counter(), time.process_time()
program, found = check_text("app.cai", text)
print(time.perf_counter() - wall, time.process_time() - cpu)
assert program is not None, found[:1]
"""


class Line(NamedTuple):
    what: str
    seconds: float
    cpu: float | None = None
    most: float | None = None


def copied(source: str, number: int) -> str:
    """The program again under other names, so that several of it are one program."""
    text = re.sub(r"(?ms)^config \{.*?^\}\n", "", source)
    names = re.findall(r"(?m)^(?:entity|integration|workflow|job) (\w+)", text)
    text = re.sub(rf"\b({'|'.join(names)})\b", lambda found: f"{found.group()}{number}", text)
    return re.sub(r"(?m)^(endpoint \w+ )/", rf"\1/v{number}/", text)


def program_of(source: str, enough: Callable[[str], bool]) -> str:
    text, number = source, 0
    while not enough(text):
        number += 1
        text += copied(source, number)
    return text


def declarations_of(text: str, size: int) -> str:
    """The first whole declarations that are about `size` bytes together."""
    end = text.find("\n}\n", size)
    return text[: end + 3] if end >= 0 else text


def cold(text: str, runs: int, folder: Path) -> Line:
    file = folder / "large.cai"
    file.write_text(text)
    found = []
    for _ in range(runs):
        command = [sys.executable, "-c", COLD, str(file)]
        said = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
        found.append([float(part) for part in said.stdout.split()])
    wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    return Line(f"{text.count(chr(10)):,} lines, cold", wall, cpu, 0.150)


def warm(what: str, runs: int, work: Callable[[], object], most: float | None = None) -> Line:
    work()
    found = []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    return Line(what, wall, cpu, most)


def process(what: str, runs: int, command: list[str], most: float | None = None) -> Line:
    found = []
    for _ in range(runs):
        before, wall = os.times(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        wall = time.perf_counter() - wall
        after = os.times()
        cpu = after.children_user + after.children_system
        found.append((wall, cpu - before.children_user - before.children_system))
    wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    return Line(what, wall, cpu, most)


def places_of(text: str) -> list[tuple[int, int]]:
    """Lines and columns inside of names, in expressions and in fields in turn."""
    found: list[list[tuple[int, int]]] = [[], []]
    for number, line in enumerate(text.split("\n")):
        for kind, word in enumerate(("line.quantity", "created_at:")):
            if word in line:
                found[kind].append((number, line.index(word) + 7))
    return [place for pair in zip(*found, strict=False) for place in pair]


PLAIN, HARD = ("x",), ('"', "{", "/*", "}", '"""')
"""What is typed. After a hard key the rest of the text is something else until it is deleted."""


async def keys(
    text: str, count: int, folder: Path, typed: Sequence[str]
) -> tuple[list[float], float]:
    """Seconds from each key to its diagnostics, and CPU seconds of the server for one key."""
    from lsprotocol import types as t
    from pygls.lsp.client import LanguageClient

    client = LanguageClient("benchmark", "1")
    told: asyncio.Queue[int | None] = asyncio.Queue()

    @client.feature(t.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def diagnostics(params: t.PublishDiagnosticsParams) -> None:
        told.put_nowait(params.version)

    await client.start_io(sys.executable, "-m", "backstay.cli.codeai", "lsp")
    # The client knows its server's process, and has no public word for it.
    server = client._server.pid if client._server else 0
    await client.initialize_async(t.InitializeParams(capabilities=t.ClientCapabilities()))
    client.initialized(t.InitializedParams())
    uri = (folder / "open" / "app.cai").as_uri()
    opened = t.TextDocumentItem(uri, "cai", 0, text)
    client.text_document_did_open(t.DidOpenTextDocumentParams(opened))
    await asyncio.wait_for(told.get(), 60)
    places = places_of(text)
    taken: list[float] = []
    began = _cpu_of(server)
    for version in range(1, count + 1):
        # A key is typed and then deleted again, so the text does not grow.
        pair = (version - 1) // 2
        line, column = places[pair * 7 % len(places)]
        key, down = typed[pair % len(typed)], version % 2 == 1
        start = t.Position(line, column)
        end = start if down else t.Position(line, column + len(key))
        change = t.TextDocumentContentChangePartial(t.Range(start, end), key if down else "")
        document = t.VersionedTextDocumentIdentifier(version, uri)
        before = time.perf_counter()
        client.text_document_did_change(t.DidChangeTextDocumentParams(document, [change]))
        while await asyncio.wait_for(told.get(), 60) != version:
            pass
        taken.append(time.perf_counter() - before)
    cpu = (_cpu_of(server) - began) / count
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return sorted(taken), cpu


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process so far; 0 where the system does not say (other than Linux)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lark(text: str, runs: int) -> list[Line]:
    if find_spec("lark") is None:
        print("lark is not installed: its line is left out")
        return []
    from lark import Lark

    parser = Lark(GRAMMAR, parser="lalr")
    return [
        warm(
            "lark (LALR): words and brackets of the same 3,000 lines",
            runs,
            lambda: parser.parse(text),
        )
    ]


def checked(text: str) -> None:
    program, found = check_text("app.cai", text)
    assert program is not None, found[:1]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--keys", type=int, default=300)
    options.add_argument("--quick", action="store_true", help="3 runs, 60 keys")
    given = options.parse_args()
    runs, count = (3, 60) if given.quick else (given.runs, given.keys)
    source = PROGRAM.read_text()
    large = program_of(source, lambda text: text.count("\n") >= LINES)
    typical = declarations_of(
        program_of(source, lambda text: len(text) > TYPICAL_BYTES), TYPICAL_BYTES
    )
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        lines = [
            cold(large, runs, folder),
            warm("the same again in that process", runs, lambda: checked(large)),
            warm(f"{len(typical) / 1000:.1f} KB", runs, lambda: checked(typical), 0.020),
        ]
        for what, typed in (("a key", PLAIN), ("a quote, brace or /*", HARD)):
            taken, cpu = asyncio.run(keys(large, count, folder, typed))
            middle, high = taken[len(taken) // 2], taken[len(taken) * 95 // 100]
            lines.append(Line(f"{what} in 3,000 lines, p50 of {count}", middle, cpu))
            lines.append(Line(f"{what} in 3,000 lines, p95", high, None, 0.040))
        command = [sys.executable, "-m", "backstay.cli.codeai", "validate", str(PROGRAM)]
        lines.append(process("codeai validate, whole process", runs, command, 0.250))
        lines.append(process("python -c pass", runs, [sys.executable, "-c", "pass"]))
        lines += lark(large, runs)
    print(f"{'':58} {'wall ms':>8} {'CPU ms':>8}  at most")
    for each in lines:
        cpu = f"{each.cpu * 1000:8.1f}" if each.cpu is not None else " " * 8
        said = ""
        if each.most is not None:
            said = f"  {each.most * 1000:.0f} ms: {'yes' if each.seconds <= each.most else 'NO'}"
        print(f"{each.what:58} {each.seconds * 1000:8.1f} {cpu}{said}")


if __name__ == "__main__":
    main()
