"""Values of a query: fields, literals, parameters, functions and arithmetic between them.

`*` and `/` bind stronger than `+` and `-`; all of them from left to right.
"""

from collections.abc import Mapping

from backstay.lang.query.cursor import Cursor, place
from backstay.lang.query.tree import Arith, Func, Kind, Operand, Path, Value

_LITERALS: Mapping[str, Kind] = {
    "int": "int",
    "float": "float",
    "duration": "duration",
    "string": "string",
    "param": "param",
}
_NAMED = ("true", "false", "null")


class Operands(Cursor):
    """What reads a value from a place in the tokens."""

    def operand(self) -> Operand:
        found = self._product()
        while True:
            if self.sign("+", "-"):
                token = self.take()
                self.counted(token)
                found = Arith(token.text, found, self._product(), place(token))
            elif self.negative_number():
                # `stock -5` takes five away, whatever the spaces say.
                number = self.take()
                self.counted(number)
                rest = Value(_LITERALS[number.kind], number.text[1:], place(number))
                found = Arith("-", found, self._product_of(rest), place(number))
            else:
                return found

    def negative_number(self) -> bool:
        return self.token.kind in ("int", "float") and self.token.text.startswith("-")

    def right(self) -> Operand:
        """What is compared with or assigned: a word alone is a text until types say otherwise."""
        enclosed = self.sign("(")
        found = self.operand()
        return found if enclosed else _bare(found)

    def value(self) -> Value:
        """A literal, a parameter or a word of a search: `example.com` is one."""
        if self.token.kind in ("op", "end"):
            raise self.expected("a value")
        found = _bare(self._plain())
        if isinstance(found, Path):
            return Value("string", found.text, found.at, bare=True)
        if not isinstance(found, Value):
            raise self.expected("a value", self.last)
        return found

    def _product(self) -> Operand:
        return self._product_of(self._factor())

    def _product_of(self, first: Operand) -> Operand:
        found = first
        while self.sign("*", "/"):
            token = self.take()
            self.counted(token)
            found = Arith(token.text, found, self._factor(), place(token))
        return found

    def _factor(self) -> Operand:
        signs = []
        while self.sign("-"):
            signs.append(self.take())
        found = self.parenthesis(self.operand) if self.sign("(") else self._plain()
        if not signs:
            return found
        # An even number of them changes nothing.
        zero = Value("int", "0", place(signs[0]))
        return Arith("-", zero, found, place(signs[0])) if len(signs) % 2 else found

    def _plain(self) -> Operand:
        token = self.token
        if token.kind in ("op", "end"):
            raise self.expected("a value")
        self.take()
        if token.kind in _LITERALS:
            text = token.value if token.kind in ("string", "param") else token.text
            return Value(_LITERALS[token.kind], text, place(token))
        if self.sign("("):
            args = self.parenthesis(self._arguments)
            return Func(token.lower, args, place(token))
        if token.lower in _NAMED:
            return Value("null" if token.lower == "null" else "bool", token.lower, place(token))
        self._at -= 1
        return self.path()

    def path(self) -> Path:
        """`name` or `relation.name`."""
        names = [self.name()]
        while self.sign(".") and self.ahead().kind == "word":
            self.take()
            names.append(self.name())
        return Path(tuple(names))

    def _arguments(self) -> tuple[Operand, ...]:
        if self.accept("*") or self.sign(")"):
            return ()
        return self.listed(self.operand)


def _bare(found: Operand) -> Operand:
    if isinstance(found, Path) and len(found.names) == 1:
        return Value("string", found.text, found.at, bare=True)
    return found
