"""Where a cursor is: the blocks around it and what stands before it on its line. Worked out from
tokens, because the declaration around a cursor is seldom whole while somebody types."""

from backstay.lang.lexer import Token, lex
from backstay.lang.lsp.incremental import start_of_declaration
from backstay.lang.parser.grammar import BLOCKS, DECLARATIONS, DECLARED_AS
from backstay.lang.reports import Reports

RECORDS = ("path", "query", "body", "headers", "input", "payload", "signals", "schema")
"""Blocks of fields that are no columns."""


class Around:
    """`open` are the words that opened the blocks around the cursor, outermost first; `heads` all
    words before their braces; `line` the words of the line before the cursor, without the one that
    is being typed. `declared` is the line of the declaration."""

    def __init__(self, text: str, offset: int) -> None:
        start = start_of_declaration(text, offset)
        before = text[start:offset]
        tokens = lex(before, Reports("")).tokens[:-1]
        self.open: list[str] = []
        self.heads: list[list[str]] = []
        self.head: list[str] = []
        self.declared = 0
        self._said = text[:offset]
        line: list[Token] = []
        for token in tokens:
            if token.first:
                line = []
            line.append(token)
            if token.kind == "op" and token.text == "{":
                self._opens(line)
                line = []
            elif token.kind == "op" and token.text == "}":
                if self.open:
                    self.open.pop()
                    self.heads.pop()
                line = []
            if not self.open and token.kind == "ident" and token.text in DECLARATIONS:
                self.declared = text.count("\n", 0, start) + token.line
                self.head = [token.text]
            elif len(self.open) <= 1 and token.kind == "ident":
                self.head.append(token.text)
        self.line = [token.text for token in line]
        self.typing = bool(tokens) and tokens[-1].kind == "ident" and tokens[-1].end == len(before)
        if self.typing:
            self.line.pop()
        elif "\n" in before[tokens[-1].end if tokens else 0 :]:
            self.line = []

    def _opens(self, line: list[Token]) -> None:
        words = [token.text for token in line[:-1] if token.kind == "ident"]
        # On one line a block may open behind other members: `a { call: I.op {`.
        self.open.append(words[0] if words else "")
        self.heads.append([token.text for token in line])

    @property
    def block(self) -> str:
        """The innermost block's own word; a step is `step`."""
        steps = len(self.open) >= 2 and self.open[-2] in ("steps", "parallel")
        inner = self.open[-1] if self.open else ""
        if steps and inner != "parallel":
            return "step"
        return DECLARED_AS.get(inner, inner)

    @property
    def keyword(self) -> str:
        """The word of the declaration."""
        return self.head[0] if self.head else ""

    def member(self) -> str:
        """The member whose value is being written: `auth` behind `auth: `, or nothing."""
        line = self.line
        known = line and (line[0] in BLOCKS.get(self.block, {}) or self.block in BLOCKS)
        return line[0] if known and line[1:2] == [":"] else ""

    def path(self) -> list[str]:
        """The names before the point at the end of the line: `order`, `customer` of
        `order.customer.`."""
        names: list[str] = []
        at = len(self.line) - 1
        while at >= 1 and self.line[at] == "." and self.line[at - 1].isidentifier():
            names.insert(0, self.line[at - 1])
            at -= 2
        return names

    def call(self) -> tuple[str, int] | None:
        """The function whose parenthesis is open here, and how many arguments stand before."""
        depth = commas = 0
        words = [token.text for token in lex(self._said[-2000:], Reports("")).tokens[:-1]]
        for at in range(len(words) - 1, -1, -1):
            word = words[at]
            if word in (")", "]", "}"):
                depth += 1
            elif word in ("[", "{"):
                depth -= 1
                if depth < 0 and word == "{":
                    return None
                commas = 0 if depth < 0 else commas
                depth = max(depth, 0)
            elif word == "(":
                if depth == 0:
                    return (words[at - 1], commas) if at and words[at - 1].isidentifier() else None
                depth -= 1
            elif word == "," and depth == 0:
                commas += 1
        return None
