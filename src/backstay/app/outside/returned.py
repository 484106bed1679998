"""`returns: { id: string, paid: bool }` of an operation: whether an answer is what it should be.

Only what is declared is looked at: a service may say more than we know of. An answer that is not
what it should be follows a call that was made, so its effect counts as unknown.
"""

from collections.abc import Callable, Mapping

import msgspec

from backstay.app.plan.bodies import Body
from backstay.app.values import codec
from backstay.core.errors import Fault
from backstay.lang.program import Integration, ListType, Program, RecordType, Type

Expect = Callable[[str], str]
"""What is wrong with an answer's JSON, "" for nothing."""


def expectations(program: Program, declared: Integration) -> Mapping[str, Expect]:
    """By the names of the operations that say what they return."""
    return {
        operation.name: _expect(program, operation.returns)
        for operation in declared.operations
        if operation.returns is not None
    }


def _expect(program: Program, kind: Type) -> Expect:
    body = Body(program, kind) if isinstance(kind, RecordType) else None
    parse = codec(program, kind).parse

    def expect(text: str) -> str:
        found = known(msgspec.json.decode(text), kind)
        try:
            if body is None:
                parse(found)
            elif isinstance(found, dict):
                body.decode(msgspec.json.encode(found))
            else:
                return "expected an object"
        except Fault as fault:
            return fault.message
        except ValueError as bad:
            return str(bad)
        return ""

    return expect


def known(value: object, kind: Type) -> object:
    """The value without the members that nobody declared."""
    if isinstance(kind, RecordType) and isinstance(value, dict):
        return {
            field.name: known(value[field.name], field.type)
            for field in kind.fields
            if field.name in value
        }
    if isinstance(kind, ListType) and isinstance(value, list):
        return [known(each, kind.item) for each in value]
    return value
