"""The JSON Schema of what `codeai parse --output json` prints, made from the nodes themselves.

The file `tree.schema.json` beside this module is shipped; a test holds it to what is made here.
"""

import types
import typing
from collections.abc import Iterator
from importlib import resources

from backstay.core.errors import Plain
from backstay.lang import syntax
from backstay.lang.tree import VERSION

_SPAN: dict[str, Plain] = {
    "type": "array",
    "description": "line, column, end line, end column; from 1, the end exclusive",
    "items": {"type": "integer"},
    "minItems": 4,
    "maxItems": 4,
}
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def shipped() -> str:
    """The text of the schema file in the package."""
    return (resources.files("backstay.lang") / "tree.schema.json").read_text(encoding="utf-8")


def schema() -> dict[str, Plain]:
    """JSON Schema 2020-12 of a tree of this version."""
    definitions: dict[str, Plain] = {_name(each): _node(each) for each in _nodes()}
    comment: dict[str, Plain] = {"text": {"type": "string"}, "line": {"type": "integer"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:backstay:codeai:tree:{VERSION}",
        "title": "The syntax tree of a .cai file",
        **_object(
            {
                "version": {"const": VERSION},
                "file": {"type": "string"},
                "complete": {"type": "boolean"},
                "declarations": _many(_ref(syntax.Declaration)),
                "comments": _many(_object({**comment, "column": {"type": "integer"}})),
            }
        ),
        "$defs": definitions,
    }


def _nodes() -> Iterator[type[syntax.Node]]:
    for value in vars(syntax).values():
        if isinstance(value, type) and issubclass(value, syntax.Node) and value is not syntax.Node:
            yield value


def _node(node: type[syntax.Node]) -> Plain:
    hints = typing.get_type_hints(node)
    fields = [name for name in node.__struct_fields__ if name not in ("line", "span")]
    made: dict[str, Plain] = {"kind": {"const": _name(node)}, "span": _SPAN}
    return _object(made | {name: _type(hints[name]) for name in fields})


def _type(hint: object) -> Plain:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type(each) for each in args]}
    if origin is tuple:
        return _many(_type(args[0]))
    if origin is typing.Literal:
        return {"enum": list(args)}
    if hint is syntax.Range:
        return _SPAN
    if isinstance(hint, type) and issubclass(hint, syntax.Node):
        return _ref(hint)
    return {"type": _PLAIN[hint]}  # type: ignore[index]


def _name(node: type[syntax.Node]) -> str:
    return str(node.__struct_config__.tag)


def _ref(node: type[syntax.Node]) -> Plain:
    return {"$ref": f"#/$defs/{_name(node)}"}


def _many(items: Plain) -> Plain:
    return {"type": "array", "items": items}


def _object(properties: dict[str, Plain]) -> dict[str, Plain]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
