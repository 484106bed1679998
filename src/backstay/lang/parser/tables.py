"""The one spelling that is refused for good: tables inside `database`.

`users { id uuid primary_key }` has no types of its own, so the answer is the entity it stands for.
"""

from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit, Span
from backstay.lang.lexer import Token
from backstay.lang.parser.cursor import Cursor

_MODIFIERS = {
    "primary_key": "primary, auto",
    "primary": "primary",
    "unique": "unique",
    "required": "required",
    "not_null": "required",
    "searchable": "searchable",
    "optional": "optional",
    "nullable": "optional",
}
_TYPES = {"integer": "int", "boolean": "bool", "varchar": "string", "jsonb": "json"}
_TYPES |= {"datetime": "timestamp", "timestamptz": "timestamp", "bigint": "int"}


def table_style(c: Cursor) -> None:
    """Refuses `NAME { column type … }` with the entity as an edit, and raises; returns when the
    word opens no table."""
    name, brace = c.token, c.ahead()
    if brace.text != "{" or c.ahead(2).kind not in ("ident", "op"):
        return
    braces = c.braces
    c.take()
    c.take()
    lines: list[list[Token]] = []
    while c.token.kind != "end" and not (c.at("}") and c.braces == braces + 1):
        token = c.take()
        if token.first or not lines or token.text == ",":
            lines.append([])
        if token.text not in (",", ":"):
            lines[-1].append(token)
    end = c.token
    if c.at("}"):
        c.take()
    span = Span(c.reports.file, name.line, name.column, end.end_line, end.end_column)
    text = _entity(name.text, [line for line in lines if line])
    edit = Edit(f"write it as an entity, outside of database:\n{text}", span, text)
    raise c.snag(e.TABLE_STYLE, name.span(c.reports.file), edit=edit, name=name.text)


def _entity(table: str, lines: list[list[Token]]) -> str:
    fields = "\n".join(f"  {_field(line)}" for line in lines)
    return f"entity {_singular(table)} {{\n{fields}\n}}"


def _singular(table: str) -> str:
    if table.endswith("ies"):
        table = table[:-3] + "y"
    elif table.endswith("s") and not table.endswith("ss"):
        table = table[:-1]
    return "".join(part[:1].upper() + part[1:] for part in table.split("_"))


def _field(line: list[Token]) -> str:
    """`id uuid primary_key default "x"` as `id: uuid, primary, auto, default("x")`."""
    words = [token.text for token in line]
    name, rest = words[0], words[1:]
    kind = rest[0] if rest else "string"
    made = [_TYPES.get(kind, kind)]
    place = 1
    if rest[1:2] == ["("]:
        close = rest.index(")") if ")" in rest else len(rest) - 1
        inside = "".join(rest[2:close]).replace(",", ", ")
        made = [f"{made[0]}({inside})"]
        place = close + 1
    while place < len(rest):
        word = rest[place]
        if word == "default" and place + 1 < len(rest):
            after = rest[place + 1 :]
            if after[0] == "(":
                after = after[1:]
            call = "()" if after[1:2] == ["("] else ""
            made += [f"default({value}{call})" for value in after[:1]]
            place += 1
        elif word in _MODIFIERS:
            made.append(_MODIFIERS[word])
        elif word in ("references", "ref") and place + 1 < len(rest):
            made[0] = f"ref({_singular(rest[place + 1])})"
            place += 1
        place += 1
    return f"{name}: {', '.join(made)}"
