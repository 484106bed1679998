"""Path and query parameters: text in, Python values out, every mistake at once."""

from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.errors import BAD_QUERY
from backstay.app.plan.bounds import broken_bound
from backstay.app.plan.checks import Mistake, fault_of, unknown_name
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.rows import Rows
from backstay.app.plan.unit import Closure, Unit
from backstay.app.values import Codec, codec
from backstay.lang.program import Field, Program

Query = Mapping[str, Sequence[str]]


class _Param(msgspec.Struct, frozen=True):
    field: Field
    codec: Codec
    default: Closure | None


class Params:
    """The declared parameters of one endpoint, in the path or in the query."""

    def __init__(self, program: Program, fields: Sequence[Field], where: str) -> None:
        evaluator = Evaluator(program, Rows(program, guarded=True))
        self._where = where
        self._params = [
            _Param(
                field,
                codec(program, field.type),
                None if field.default is None else evaluator.closure(field.default),
            )
            for field in fields
        ]
        self.names = tuple(field.name for field in fields)

    def read(self, given: Query) -> dict[str, object]:
        """Values of what was sent. Raises APP012 with every mistake."""
        mistakes: list[Mistake] = []
        found = self.collect(given, mistakes)
        if mistakes:
            raise fault_of(BAD_QUERY, f"the {self._where}", mistakes)
        return found

    def of_headers(self, headers: Mapping[str, str]) -> dict[str, object]:
        """As `read`, of headers in lower case: `x_trace` is X-Trace. Others are not looked at."""
        if not self._params:
            return {}
        sent = {name: headers.get(name.lower().replace("_", "-")) for name in self.names}
        return self.read({name: (text,) for name, text in sent.items() if text is not None})

    def collect(self, given: Query, mistakes: list[Mistake]) -> dict[str, object]:
        """As `read`, for a caller with mistakes of its own."""
        found: dict[str, object] = {}
        for param in self._params:
            name = param.field.name
            texts = given.get(name, ())
            if len(texts) > 1:
                mistakes.append(Mistake(name, "is given twice"))
            elif texts:
                found[name] = read_text(param.field, param.codec, texts[0], mistakes)
            elif param.field.required and param.default is None:
                mistakes.append(Mistake(name, "is required"))
        return found

    def fill(self, unit: Unit, values: dict[str, object]) -> None:
        """Defaults, and null for what is optional."""
        for param in self._params:
            if param.field.name not in values:
                values[param.field.name] = param.default(unit, {}) if param.default else None


def read_text(field: Field, kind: Codec, text: str, mistakes: list[Mistake]) -> object:
    """One value; what is wrong with it goes into `mistakes`."""
    try:
        value = kind.read(text)
    except ValueError as bad:
        mistakes.append(Mistake(field.name, str(bad)))
        return None
    broken = broken_bound(field, value)
    if broken:
        mistakes.append(Mistake(field.name, f"must be {broken}"))
    return value


def refuse_unknown(given: Query, known: Sequence[str], mistakes: list[Mistake]) -> None:
    """A parameter that nobody reads is a mistake: a misspelt filter must not show everything."""
    mistakes += [Mistake(name, unknown_name(name, known)) for name in given if name not in known]
