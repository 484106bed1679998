"""Statements of `do { … }` and of scripts: writes, decisions, loops, names, calls."""

from collections.abc import Callable

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit
from backstay.lang.lexer import Token
from backstay.lang.parser.cursor import Cursor, Snag
from backstay.lang.parser.expressions import entries, expression
from backstay.lang.parser.misplaced import is_declaration, misplaced
from backstay.lang.parser.types import type_name
from backstay.lang.parser.writes import (
    create,
    delete,
    fail,
    let,
    not_a_statement,
    restore,
    start,
    update,
)
from backstay.lang.syntax import (
    AssignNode,
    Body,
    CallExpr,
    DoNode,
    EmitNode,
    Entry,
    ExecNode,
    ForNode,
    FunctionNode,
    Ident,
    IfNode,
    ParamNode,
    Range,
    RecordFields,
    ReturnNode,
    StatementNode,
    TypeName,
    VarNode,
)

UNSUPPORTED = {
    "while": ("while", "walk a list with for"),
    "call": ("call inside do", "make the call a step of a workflow and start it here"),
    "task": ("task inside do", "make the task a step of a workflow and start it here"),
    "send": ("send", "make it a step of a workflow, or emit an event"),
    "query": ("query as a statement", 'give what it reads a name: let rows = query "…"'),
    "parallel": ("parallel", "write the steps one after the other"),
    "assert": ("assert outside of a test", "write if and fail"),
}
HARD = frozenset({"if", "else", "for", "in", "function", "true", "false", "var"})
"""Words that never begin an assignment or a call: the first version reserved them."""
_TAKE_A_VALUE = frozenset({"return", "fail", "not"})
"""`return (x)` is no call."""


def body(c: Cursor) -> Body:
    """`{ statement … }`. A statement that cannot be read is left out, the next is read."""
    start = c.expect("{")
    c.enter()
    found: list[StatementNode] = []
    broken = c.listed(lambda: found.append(statement(c)))
    c.expect("}")
    c.depth -= 1
    return Body(c.range(start), tuple(found), broken)


def statement(c: Cursor) -> StatementNode:
    word = c.token
    if is_declaration(c) and not is_script(c):
        raise misplaced(c)
    if word.kind != "ident":
        raise c.expected("a statement", words=(*c.extra, *STATEMENTS), starts=True)
    if word.text in c.extra and _is_extra(c):
        c.take()
        return c.extra[word.text](c)
    if is_script(c):
        return script(c)
    parse = STATEMENTS.get(word.text)
    if parse is None:
        parse = _other(c)
    c.note(f"statement.{word.text}", word)
    c.take()
    return parse(c)


def _is_extra(c: Cursor) -> bool:
    """Whether the word is meant as the test's own, and not as a name of the program."""
    after = c.ahead()
    return after.text != "=" and (after.text != "(" or c.token.text == "assert")


def is_script(c: Cursor) -> bool:
    """`name = …`, `name(…)` and `name.name(…)`, whatever the name."""
    if c.token.text in HARD:
        return False
    after = c.ahead()
    if after.first or after.kind != "op":
        return False
    if after.text == "=" or c.token.text in _TAKE_A_VALUE:
        return after.text == "="
    if after.text != ".":
        return after.text == "("
    place = 1
    while c.ahead(place).text == "." and c.ahead(place + 1).kind == "ident":
        place += 2
    return c.ahead(place).text == "("


def script(c: Cursor) -> StatementNode:
    """An assignment or a call; a step of the oldest endpoints is one of them with options."""
    start = c.token
    target = None
    if c.ahead().text == "=":
        target = c.name("a name")
        c.take()
    value = expression(c)
    where = None
    if c.at("where") and c.ahead().text != "=":
        c.take()
        where = expression(c)
    options: tuple[Entry, ...] = ()
    if c.at("with") and c.ahead().text == "{":
        c.take()
        options = entries(c, loose=True)
    if target and where is None and not options:
        c.note("statement.assign", start)
        return AssignNode(c.range(start), target, value)
    if not isinstance(value, CallExpr):
        raise c.expected("a call such as find(users)")
    c.note("statement.call", start)
    return DoNode(c.range(start), value, target, where, options)


def _other(c: Cursor) -> "Callable[[Cursor], StatementNode]":
    """The word is no statement: refuse it, or read it as the one it was meant to be."""
    word, span = c.token, c.token.span(c.reports.file)
    unsupported = UNSUPPORTED.get(word.text)
    if unsupported:
        what, instead = unsupported
        raise c.snag(e.UNSUPPORTED, span, what=what, instead=instead)
    known = (*c.extra, *STATEMENTS)
    meant = nearest(word.text, known)
    not_a_statement(c, meant, known)
    if meant is None:
        raise Snag
    return c.extra.get(meant) or STATEMENTS[meant]


def _for(c: Cursor) -> ForNode:
    start = c.last
    variable = c.declared("a variable")
    if c.at("of") and not c.token.first:
        c.instead("in")
    else:
        c.expect("in")
    items = expression(c)
    inside = body(c)
    return ForNode(c.range(start), variable, items, inside)


def _if(c: Cursor) -> IfNode:
    start = c.last
    condition = expression(c)
    then = body(c)
    otherwise: Body | None = None
    if c.accept("else"):
        if c.at("if"):
            c.enter()
            word = c.take()
            nested = _if(c)
            otherwise = Body(c.range(word), (nested,))
            c.depth -= 1
        else:
            otherwise = body(c)
    return IfNode(c.range(start), condition, then, otherwise)


def _return(c: Cursor) -> ReturnNode:
    start = c.last
    if c.token.first:
        raise c.expected("a value")
    if c.at("create", "start") and c.ahead().kind == "ident" and c.ahead(2).text == "{":
        raise _named_first(c, start)
    value = expression(c)
    return ReturnNode(c.range(start), value)


_NAMES = {"create": "row", "start": "run"}


def _named_first(c: Cursor, word: Token) -> Snag:
    """`return create E { … }` and the like: a write is a statement; its result wants a name."""
    verb = c.take()
    made = STATEMENTS[verb.text](c)
    name, indent = _NAMES[verb.text], " " * (word.column - 1)
    written = c.text[verb.start : c.last.end]
    said = f"let {name} = {written}\n{indent}return {name}"
    span = c.reports.at(Range(word.line - c.reports.base, word.column, *_end(made)))
    edit = Edit("give it a name and return that", span, said)
    what = f"'{verb.text}' is a statement, and return takes a value"
    fix = f"write let {name} = {verb.text} …, then return {name}"
    return c.snag(e.MISPLACED, word.span(c.reports.file), edit=edit, what=what, fix=fix)


def _end(node: StatementNode) -> tuple[int, int]:
    return node.span.end_line, node.span.end_column


def _var(c: Cursor) -> VarNode:
    start = c.last
    name = c.declared("a name for the value")
    c.expect("=")
    value = expression(c)
    return VarNode(c.range(start), name, value)


def _exec(c: Cursor) -> ExecNode:
    start, command = c.last, c.token
    if command.kind == "string":
        span = command.span(c.reports.file)
        edit = Edit("write it in braces", span, f"{{ {command.value} }}")
        got = c.got()
        raise c.snag(e.EXPECTED, span, edit=edit, wanted="'{'", got=got)
    if command.kind != "raw":
        raise c.expected("'{'", insert="{")
    c.take()
    return ExecNode(c.range(start), str(command.value))


def _emit(c: Cursor) -> EmitNode:
    return emit(c, c.last)


def emit(c: Cursor, start: Token | None = None) -> EmitNode:
    """`EVENT { field: EXPR }`."""
    start = start or c.token
    name = dotted(c, "the name of an event")
    values = entries(c) if c.opens() and not c.token.first else ()
    return EmitNode(c.range(start), name, values)


def dotted(c: Cursor, what: str) -> Ident:
    """`order_placed`, `order.placed`, or the same in quotes."""
    start = c.token
    if start.kind == "string":
        c.take()
        return Ident(c.range(start), str(start.value))
    name = c.name(what).name
    while c.at(".") and c.ahead().kind == "ident":
        c.take()
        name += f".{c.take().text}"
    return Ident(c.range(start), name)


def function(c: Cursor) -> FunctionNode:
    """`function NAME(a: T, b) -> T { … }`; the word is taken."""
    start = c.last
    name = c.declared("a name for the function")
    c.expect("(")
    params: list[ParamNode] = []
    while not c.at(")"):
        param = c.declared("a parameter")
        kind = _type_of(c)
        params.append(ParamNode(c.range_from(param.span), param, kind))
        if not c.accept(","):
            break
    c.expect(")")
    result = _result(c)
    inside = body(c)
    return FunctionNode(c.range(start), name, tuple(params), result, inside)


def _type_of(c: Cursor) -> "TypeName | RecordFields | None":
    """`: T` of a parameter, if there is one. Without the right sign the type is still read."""
    if c.at(":", "="):
        c.expect(":")
        return type_name(c)
    if c.token.kind == "ident" and not c.token.first:
        c.expected("':'", insert=":")
        return type_name(c)
    return None


def _result(c: Cursor) -> "TypeName | RecordFields | None":
    if c.at(":") and not c.token.first:
        span = c.token.span(c.reports.file)
        edit, got = Edit("write '->'", span, " ->"), c.got()
        c.reports.add(e.EXPECTED, span, expected=("->",), edit=edit, wanted="'->'", got=got)
        c.take()
        return type_name(c)
    return type_name(c) if c.accept("->") else None


STATEMENTS: dict[str, Callable[[Cursor], StatementNode]] = {
    "let": let,
    "create": create,
    "update": update,
    "delete": delete,
    "restore": restore,
    "for": _for,
    "if": _if,
    "fail": fail,
    "start": start,
    "return": _return,
    "emit": _emit,
    "var": _var,
    "exec": _exec,
    "function": function,
}
"""Each reads what follows its word."""
