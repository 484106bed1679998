"""Expressions, by precedence climbing.

Weakest first: `a ? b : c`, `??`, `or`, `and`, `not`, comparison and `in`, `+ -`,
`* / %`, `-x`, dots and calls.
"""

from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit
from backstay.lang.lexer import Token
from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.literals import number, text
from backstay.lang.syntax import (
    BinaryExpr,
    CallExpr,
    Choice,
    Dot,
    Each,
    Entry,
    Expr,
    Ident,
    Item,
    Lambda,
    ListExpr,
    Literal_,
    NameExpr,
    Range,
    RecordExpr,
    UnaryExpr,
    Where,
)

_POWER = {
    "??": 1,
    "or": 2,
    "and": 3,
    "==": 5,
    "!=": 5,
    "<": 5,
    "<=": 5,
    ">": 5,
    ">=": 5,
    "in": 5,
    "=": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
    "%": 7,
}
_NOT_POWER, _MINUS_POWER = 4, 8
_STATEMENTS = frozenset({"if", "for", "function", "var"})
"""Reserved since the first version: at the start of a line none is a value."""
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def expression(c: Cursor, power: int = 0) -> Expr:
    """An expression whose operators bind stronger than `power`. Sets `c.height`."""
    c.enter()
    left = _prefix(c)
    height = c.height
    while True:
        op = _operator(c, power)
        if op is None:
            break
        token = c.take()
        op_span = c.range(token)
        right = expression(c, _POWER[op])
        c.grow(height, c.height)
        height = c.height
        left = BinaryExpr(c.range_from(left.span), op, op_span, left, right)
    if not power and c.at("?"):
        left = _choice(c, left, height)
    c.depth -= 1
    return left


def _choice(c: Cursor, condition: Expr, height: int) -> Expr:
    """`CONDITION ? THEN : OTHERWISE`; nests to the right."""
    c.note("expression.choice", c.take())
    then = expression(c)
    tall = c.height
    c.expect(":")
    otherwise = expression(c)
    c.grow(height, tall, c.height)
    return Choice(c.range_from(condition.span), condition, then, otherwise)


def _operator(c: Cursor, power: int) -> str | None:
    token = c.token
    if token.kind not in ("op", "ident"):
        return None
    strength = _POWER.get(token.text)
    if strength is None or strength <= power:
        return None
    if token.kind == "ident" and c.ahead().text == "=":
        # `or = 1` on the next line is a statement, and said to be a wrong one elsewhere.
        return None
    if token.text == "%":
        c.note("expression.modulo", token)
    if token.text == "=":
        # One sign for two is no reason to lose the rest of the member.
        span = token.span(c.reports.file)
        edit = Edit("compare with '=='", span, "==")
        c.reports.add(e.EXPECTED, span, expected=("==",), edit=edit, wanted="'=='", got="'='")
        return "=="
    return token.text


def _prefix(c: Cursor) -> Expr:
    start = c.token
    if c.at("not") or c.at("-"):
        c.take()
        operand = expression(c, _NOT_POWER if start.text == "not" else _MINUS_POWER)
        c.grow(c.height)
        return UnaryExpr(c.range(start), start.text, operand)
    return _postfix(c, _primary(c))


def _postfix(c: Cursor, left: Expr) -> Expr:
    height = c.height
    while True:
        if c.at("."):
            c.take()
            field = _field(c)
            c.grow(height)
            left = Dot(c.range_from(left.span), left, field)
        elif c.at("(") and not c.token.first:
            args = _arguments(c)
            c.grow(height, c.height)
            left = CallExpr(c.range_from(left.span), left, args)
        elif c.at("[") and not c.token.first and c.token.start == c.last.end:
            c.note("expression.index", c.take())
            index = expression(c)
            c.expect("]")
            c.grow(height, c.height)
            left = Item(c.range_from(left.span), left, index)
        else:
            c.height = height
            return left
        height = c.height


def _field(c: Cursor) -> Ident:
    if c.token.first:
        raise c.expected("the name of a field")
    return c.name("the name of a field")


def _primary(c: Cursor) -> Expr:
    token = c.token
    c.height = 1
    reserved = token.first and token.text in _STATEMENTS
    if token.kind == "end" or reserved or (c.at_member() and token.text != "{"):
        raise c.expected("a value")
    if token.kind == "ident":
        c.take()
        if c.at("=>") and not c.token.first:
            return _lambda(c, token)
        if token.text in _CONSTANTS:
            value = _CONSTANTS[token.text]
            return Literal_(c.range(token), "null" if value is None else "bool", value)
        return NameExpr(c.range(token), token.text)
    if token.kind == "string":
        c.take()
        return text(c, token)
    if token.kind in ("int", "decimal", "duration"):
        return number(c)
    if c.at("("):
        return _parenthesis(c)
    if c.at("["):
        return _list(c)
    if c.at("{"):
        return record(c)
    raise c.expected("a value")


def _lambda(c: Cursor, word: Token) -> Lambda:
    """`x => EXPR`; the name is taken."""
    variable = c.readable(Ident(c.range(word), word.text))
    c.take()
    value = expression(c)
    c.grow(c.height)
    return Lambda(c.range(word), variable, value)


def _parenthesis(c: Cursor) -> Expr:
    c.take()
    inner = expression(c)
    c.expect(")")
    return inner


def _list(c: Cursor) -> Expr:
    start = c.take()
    if c.token.kind == "ident" and c.ahead().text == "in" and c.ahead().kind == "ident":
        each = _each(c)
        c.expect("]")
        return Each(c.range(start), each.variable, each.items, each.value)
    items: list[Expr] = []
    heights = [0]
    while not c.at("]"):
        items.append(expression(c))
        heights.append(c.height)
        if not c.accept(","):
            break
    c.expect("]")
    c.grow(*heights)
    return ListExpr(c.range(start), tuple(items))


def _each(c: Cursor) -> Each:
    start = c.token
    variable = c.declared("a variable")
    c.expect("in")
    items = expression(c)
    height = c.height
    c.expect(":")
    value = expression(c)
    c.grow(height, c.height)
    return Each(c.range(start), variable, items, value)


def _arguments(c: Cursor) -> tuple[Expr, ...]:
    c.take()
    args: list[Expr] = []
    heights = [0]
    while not c.at(")"):
        args.append(_argument(c))
        heights.append(c.height)
        if not c.accept(","):
            break
    c.expect(")")
    c.grow(*heights)
    return tuple(args)


def _argument(c: Cursor) -> Expr:
    if c.token.kind == "ident" and c.ahead().text == "in" and c.ahead(3).text != ")":
        return _each(c)
    value = expression(c)
    height = c.height
    if c.accept("where"):
        condition = expression(c)
        c.grow(height, c.height)
        return Where(c.range_from(value.span), value, condition)
    return value


def record(c: Cursor, *, loose: bool = False) -> RecordExpr:
    """`{ name: EXPR, … }`."""
    start = c.token
    values = entries(c, loose=loose)
    return RecordExpr(c.range(start), values)


def no_record(c: Cursor) -> RecordExpr:
    """The record that was left out, just behind what was read."""
    line, column = c.last.end_line - c.reports.base, c.last.end_column
    return RecordExpr(Range(line, column, line, column), ())


def entries(c: Cursor, *, loose: bool = False) -> tuple[Entry, ...]:
    """The inside of braces with `name: EXPR`, by comma or by line; `loose` does without, and
    takes names in quotes. Sets `c.height`."""
    c.expect("{")
    c.enter()
    found: list[Entry] = []
    heights = [0]
    while not c.at("}"):
        name = _entry_name(c, loose=loose)
        if c.token.first:
            raise c.expected("':'", insert=":")
        c.expect(":")
        value = expression(c)
        heights.append(c.height)
        found.append(Entry(c.range_from(name.span), name, value))
        if loose and c.token.kind in ("ident", "string"):
            continue
        separate(c, "}")
    c.expect("}")
    c.depth -= 1
    c.grow(*heights)
    return tuple(found)


def _entry_name(c: Cursor, *, loose: bool) -> Ident:
    token = c.token
    if loose and token.kind == "string":
        c.take()
        return Ident(c.range(token), str(token.value))
    return c.name("a name or '}'", starts=True)


def separate(c: Cursor, close: str) -> None:
    """Between two members there is a comma or a new line."""
    if not c.accept(",") and not c.at(close) and not c.token.first and c.token.kind != "end":
        raise c.expected(f"',' or '{close}'", insert=",")
