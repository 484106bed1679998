"""What is wrong with a program or with a query, by the words that people search for.

Both probes read the .cai files and the words the user gave, and nothing else: they answer the same
whether the app runs or not.
"""

import asyncio
import re
from pathlib import Path

from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.nearest import nearest
from backstay.core.probing import seen

_PROGRAM, _QUERY = "app.program", "app.query"
_MOST_BYTES = 2 * 1024 * 1024
_KINDS = {"ScopeError": "scope", "TypeError": "type", "FunctionError": "function"}
_FORMS = ("LexerError", "ParserError", "SyntaxError")
_QUERY_CODES = frozenset(f"LANG{number}" for number in range(140, 151))
_QUERY_WORDS = re.compile(
    r"(LexerError|ParserError|SemanticError|CompilerError|ExecutionError)"
    r"|unexpected end of input|(unknown entity '(\w*)')|(unknown field '(\w*)' on entity '(\w*)')"
    r"|(type mismatch for field)"
)
_BY_KIND = {
    "LexerError": "letters",
    "ParserError": "grammar",
    "SemanticError": "name",
    "CompilerError": "types",
    "ExecutionError": "database",
}


async def _look_at_program(target: Target) -> Evidence:
    return await asyncio.to_thread(_program, target)


def _program(target: Target) -> Evidence:
    # The language is imported only when somebody asks about a program.
    from backstay.lang.api import check_files

    if target.app_file is None:
        return seen(_PROGRAM, "none", "skip")
    try:
        sources = _sources(target.app_file)
    except (OSError, UnicodeDecodeError) as bad:
        return seen(_PROGRAM, "unreadable", "fail", file=str(target.app_file), reason=str(bad))
    judged = check_files(sources)[1]
    # A wrong query is a warning: only its step fails, and only when it runs.
    found = [each for each in judged if each.severity == "error" or each.code in _QUERY_CODES]
    file = str(target.app_file)
    if not found:
        return seen(_PROGRAM, "valid", "pass", [text for _, text in sources], file=file)
    first = found[0]
    reading = "form" if first.kind in _FORMS else _KINDS.get(first.kind, "meaning")
    if first.code in _QUERY_CODES:
        reading = "query"
    span = first.span
    return seen(
        _PROGRAM,
        reading,
        "fail",
        [text for _, text in sources],
        file=file,
        place=f"{span.file}:{span.line}:{span.column}",
        kind=first.kind,
        message=first.message,
        code=first.code,
        edit=first.edit.title if first.edit else None,
    )


def _sources(path: Path) -> list[tuple[str, str]]:
    files = sorted(path.glob("*.cai")) if path.is_dir() else [path]
    sources = []
    for each in files:
        with each.open("rb") as file:
            sources.append((str(each), file.read(_MOST_BYTES).decode("utf-8-sig")))
    return sources


async def _look_at_query(target: Target) -> Evidence:
    return await asyncio.to_thread(_query, target)


def _query(target: Target) -> Evidence:
    words = _QUERY_WORDS.search(target.text)
    if words is None:
        return seen(_QUERY, "none", "skip")
    known = _entities(target)
    name = re.search(r"unknown entity '(\w*)'", target.text)
    if name:
        close = nearest(name[1], known)
        return seen(_QUERY, "name", "fail", words[0], name=name[1], close=close, said=words[0])
    field = re.search(r"unknown field '(\w*)' on entity '(\w*)'", target.text)
    if field:
        close = nearest(field[1], known.get(field[2], ()))
        facts = {"name": field[1], "entity": field[2], "close": close}
        return seen(_QUERY, "field", "fail", words[0], said=words[0], **facts)
    if "unexpected end of input" in target.text:
        reading = "grammar"
    elif words[1]:
        reading = _BY_KIND[words[1]]
    else:
        reading = "types"
    return seen(_QUERY, reading, "fail", words[0], said=words[0])


def _entities(target: Target) -> dict[str, list[str]]:
    """The entities of the program with the names of their fields."""
    from backstay.lang.api import check_files

    if target.app_file is None:
        return {}
    try:
        program, _ = check_files(_sources(target.app_file))
    except (OSError, UnicodeDecodeError):
        return {}
    entities = program.entities if program else ()
    return {each.name: [field.name for field in each.fields] for each in entities}


PROGRAM_FILE = Probe(
    _PROGRAM,
    "does the program's text hold together",
    "outside",
    ("valid", "form", "scope", "type", "function", "query", "meaning", "unreadable", "none"),
    _look_at_program,
    deadline=2.0,
    cost=0.3,
)
QUERY_WORDS = Probe(
    _QUERY,
    "what the words of a query error say",
    "outside",
    ("letters", "grammar", "name", "field", "types", "database", "none"),
    _look_at_query,
    deadline=2.0,
)
_SAYS = "{place}: {kind}: {message}[[; {edit}]]"
_FIXES = ("validate", "explain-code", "parse")

PROGRAM = Guide(
    id="program",
    title="A program is not valid",
    seed="codeai: Workflow Execution Failures, Validation Errors",
    symptoms=(
        Symptom(
            "text", r"ScopeError|undefined variable|duplicate (declaration|parameter)", "scope"
        ),
        Symptom("text", r"TypeError|cannot iterate over non-array", "types"),
        Symptom("text", r"FunctionError|undefined function|wrong number of arguments", "functions"),
        Symptom("text", r"is not a function|LANG[01]\d\d|validation errors?", "validation"),
    ),
    probes=(PROGRAM_FILE,),
    causes=(
        Cause(
            "program-form",
            f"the text cannot be read: {_SAYS}",
            0.03,
            {_PROGRAM: {"form": 0.95}},
            _FIXES,
        ),
        Cause(
            "program-scope",
            f"a name means nothing or two things: {_SAYS}",
            0.03,
            {_PROGRAM: {"scope": 0.95}},
            _FIXES,
        ),
        Cause(
            "program-type",
            f"a value is of another type: {_SAYS}",
            0.03,
            {_PROGRAM: {"type": 0.95}},
            _FIXES,
        ),
        Cause(
            "program-function",
            f"a call does not fit its function: {_SAYS}",
            0.03,
            {_PROGRAM: {"function": 0.95}},
            _FIXES,
        ),
        Cause(
            "program-query",
            f"a query of the program does not fit it: {_SAYS}",
            0.03,
            {_PROGRAM: {"query": 0.95}},
            _FIXES,
        ),
        Cause(
            "program-meaning",
            f"parts do not go together: {_SAYS}",
            0.03,
            {_PROGRAM: {"meaning": 0.95}},
            _FIXES,
        ),
        Cause(
            "program-unreadable",
            "the file {file} cannot be read: {reason}",
            0.01,
            {_PROGRAM: {"unreadable": 0.95}},
            ("permissions",),
        ),
    ),
    fixes=(
        Fix(
            "validate",
            "See all mistakes with their places and what to write instead",
            "codeai validate {file}",
            "none",
        ),
        Fix("explain-code", "Read what the code means", "backstay explain {code}", "none"),
        Fix("parse", "Look at what was understood", "codeai parse {file} --output table", "none"),
        Fix("permissions", "Look at the file's owner and permissions", "ls -l {file}", "none"),
    ),
)

QUERY = Guide(
    id="query",
    title="A query fails",
    seed="codeai: Query Errors (C13, C14)",
    symptoms=(
        Symptom("text", r"(Lexer|Parser|Semantic|Compiler|Execution)Error", "a query error"),
        Symptom(
            "text",
            r"unknown (entity|field) '|type mismatch for field|unexpected end of input",
            "a query error",
        ),
    ),
    probes=(QUERY_WORDS,),
    causes=(
        Cause(
            "query-letters",
            "the query holds a sign that means nothing there, or a text without its closing quote",
            0.03,
            {_QUERY: {"letters": 0.95}},
            ("quote", "query-sql"),
        ),
        Cause(
            "query-grammar",
            "the words of the query stand in an order that means nothing, or it stops too early",
            0.03,
            {_QUERY: {"grammar": 0.95}},
            ("query-sql",),
        ),
        Cause(
            "query-name",
            "the program declares no entity of that name[[: {name}]][[, but there is {close}]]",
            0.03,
            {_QUERY: {"name": 0.95}},
            ("names",),
        ),
        Cause(
            "query-types",
            "a value of the query is not of its field's type, or there is no SQL for it",
            0.03,
            {_QUERY: {"types": 0.95}},
            ("names", "query-sql"),
        ),
        Cause(
            "query-field",
            "{entity} has no field {name}[[, but it has {close}]]",
            0.03,
            {_QUERY: {"field": 0.95}},
            ("names", "query-sql"),
        ),
        Cause(
            "query-database",
            "the database refused the statement",
            0.03,
            {_QUERY: {"database": 0.95}},
            ("query-sql",),
        ),
    ),
    fixes=(
        Fix(
            "quote",
            "Put texts into single or double quotes, and write parameters as @name",
            "codeai query --help",
            "none",
        ),
        Fix("names", "See the entities and fields there are", "codeai explain .", "none"),
        Fix(
            "query-sql",
            "See the SQL and its values without running it",
            "codeai query . QUERY --explain",
            "none",
        ),
    ),
)
