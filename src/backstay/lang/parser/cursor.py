"""A place in the token list, with expectations: what the parser asks for and what it says when
something else is there."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from backstay.core.errors import Plain
from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit, Span
from backstay.lang.lexer import Token
from backstay.lang.names import suggestion
from backstay.lang.reports import MOST_PLACES, Reports
from backstay.lang.syntax import Ident, Range, StatementNode

MAX_DEPTH = 40
"""Blocks, brackets and records inside each other."""
MAX_HEIGHT = 100
"""Operators and dots above each other in one expression; who walks a tree may recurse."""

OF_EXPRESSIONS = frozenset({"true", "false", "null", "not", "and", "or"})
"""Words that are values and operators where a value stands; nothing can be read by such a name."""


class Snag(Exception):  # noqa: N818 - no error of the program, a jump to the next member
    """The mistake is reported; whoever can find the next sound place catches this."""


class Cursor:
    """Reads tokens. `braces` counts open braces, so that recovery knows where a block ends."""

    def __init__(self, tokens: Sequence[Token], reports: Reports, text: str = "") -> None:
        self.tokens = tokens
        self.reports = reports
        self.text = text
        self.position = 0
        self.braces = 0
        self.depth = 0
        self.height = 0
        self.steps = 0
        self.extra: Mapping[str, Callable[[Cursor], StatementNode]] = {}
        """Statements that the declaration has beside the usual ones; a test has."""

    # --- looking ---

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def ahead(self, count: int = 1) -> Token:
        return self.tokens[min(self.position + count, len(self.tokens) - 1)]

    @property
    def last(self) -> Token:
        """The token taken last."""
        return self.tokens[max(self.position - 1, 0)]

    def at(self, *texts: str) -> bool:
        """Whether a sign or word stands here (a string never counts)."""
        token = self.token
        return token.text in texts and token.kind in ("op", "ident")

    def at_member(self) -> bool:
        """Whether a new line begins with what looks like a member: `name:` or `name {`."""
        token = self.token
        if token.kind == "end" or (token.text == "}" and token.kind == "op"):
            return True
        if not token.first or token.kind != "ident":
            return False
        after = self.ahead()
        return after.text == "{" or (after.text == ":" and not after.first)

    def opens(self) -> bool:
        """Whether a block begins here, be it behind a colon that does not belong there."""
        colon = self.at(":") and not self.token.first
        return self.at("{") or (colon and self.ahead().text == "{")

    # --- taking ---

    def take(self) -> Token:
        token = self.tokens[self.position]
        self.steps += 1
        if token.kind == "op":
            if token.text == "{":
                self.braces += 1
            elif token.text == "}":
                self.braces -= 1
        if token.kind != "end":
            self.position += 1
        return token

    def accept(self, text: str) -> bool:
        if self.at(text) or self._misspelt(text):
            self.take()
            return True
        return False

    def expect(self, text: str) -> Token:
        if self.at(text) or self._misspelt(text) or self._equals(text) or self._colon(text):
            return self.take()
        raise self.expected(f"'{text}'", insert=text)

    def _equals(self, wanted: str) -> bool:
        """Whether `=` stands where a colon belongs; reports it."""
        if wanted != ":" or not self.at("=") or self.token.first:
            return False
        span = self.token.span(self.reports.file)
        edit = Edit("write ':'", span, ":")
        self.reports.add(e.EXPECTED, span, expected=(":",), edit=edit, wanted="':'", got=self.got())
        return True

    def _colon(self, wanted: str) -> bool:
        """Whether a colon stands before the brace of a block; reports it, and goes on behind it."""
        if wanted != "{" or not self.at(":") or not self.opens():
            return False
        span = self.token.span(self.reports.file)
        edit = Edit("remove ':'", span, "")
        self.reports.add(e.EXPECTED, span, expected=("{",), edit=edit, wanted="'{'", got=self.got())
        self.take()
        return True

    def _misspelt(self, word: str) -> bool:
        """Whether the next word of this line is `word` with a slip of a letter; reports it."""
        token = self.token
        if not word.isalpha() or token.kind != "ident" or token.first:
            return False
        if nearest(token.text, (word,)) is None:
            return False
        self._meant(word)
        return True

    def instead(self, word: str) -> None:
        """Report the word here, which stands for `word`, and go on behind it."""
        self._meant(word)
        self.take()

    def _meant(self, word: str) -> None:
        span = self.token.span(self.reports.file)
        edit = Edit(f"did you mean '{word}'?", span, word)
        wanted, got = f"'{word}'", self.got()
        self.reports.add(e.EXPECTED, span, expected=(word,), edit=edit, wanted=wanted, got=got)

    def name(self, what: str, also: Iterable[str] = (), *, starts: bool = False) -> Ident:
        """An identifier; `what` says of what in the message, `also` lists the likely ones.

        `starts`: it begins a member, so a sign on the next line is wrong there, not missing here.
        """
        token = self.token
        if token.kind != "ident":
            raise self.expected(what, words=tuple(also), starts=starts)
        self.take()
        return Ident(self.range(token), token.text)

    def declared(self, what: str) -> Ident:
        """A name that expressions will read from here on."""
        return self.readable(self.name(what))

    def readable(self, name: Ident) -> Ident:
        """The same name; a word that means something else in an expression is reported."""
        if name.name in OF_EXPRESSIONS:
            span = self.reports.at(name.span)
            self.reports.add(e.WORD_OF_EXPRESSIONS, span, name=name.name)
        return name

    # --- places ---

    def range(self, start: Token) -> Range:
        """From `start` to the end of the token taken last."""
        base, last = self.reports.base, self.last
        return Range(start.line - base, start.column, last.end_line - base, last.end_column)

    def range_from(self, start: Range) -> Range:
        last = self.last
        return Range(start.line, start.column, last.end_line - self.reports.base, last.end_column)

    def here(self, *, starts: bool = False) -> Span:
        """Where something is missing: at the token, or after the last one when a line ended."""
        token, last = self.token, self.last
        if self.position and not starts and (token.first or token.kind == "end"):
            line, column = last.end_line, last.end_column
            return Span(self.reports.file, line, column, line, column)
        return token.span(self.reports.file)

    # --- saying ---

    def expected(
        self, what: str, *, insert: str = "", words: Sequence[str] = (), starts: bool = False
    ) -> Snag:
        """Report that `what` was expected here. Use as `raise cursor.expected(…)`."""
        span = self.here(starts=starts)
        edit = None
        if insert:
            line, column = self.last.end_line, self.last.end_column
            after = Span(span.file, line, column, line, column)
            text = f" {insert}" if insert.isalpha() or insert == "{" else insert
            edit = Edit(f"insert '{insert}'", after, text)
        self.reports.add(
            e.EXPECTED,
            span,
            expected=tuple(words) or (what,),
            edit=edit,
            wanted=what,
            got=self.got(starts=starts),
        )
        return Snag()

    def got(self, *, starts: bool = False) -> str:
        token = self.token
        if token.kind == "end":
            return "end of file"
        if token.first and self.position and not starts:
            return "end of line"
        text = token.text if len(token.text) <= 40 else token.text[:37] + "..."
        return text if token.kind == "string" else f"'{text}'"

    def snag(self, rule: e.Rule, span: Span, edit: Edit | None = None, **values: Plain) -> Snag:
        """Report any other mistake of form."""
        self.reports.put(rule, span, values, edit=edit)
        return Snag()

    def unknown(
        self, rule: e.Rule, token: Token, words: Sequence[str], block: str = ""
    ) -> str | None:
        """Report a word that is not one of `words`; returns the nearest one."""
        span = token.span(self.reports.file)
        edit = None if self.reports.crowded else suggestion(token.text, words, span)
        values: dict[str, Plain] = {"block": block, "name": token.text, "known": ", ".join(words)}
        self.reports.put(rule, span, values, expected=words, edit=edit)
        return edit.text if edit else None

    def note(self, construct: str, token: Token) -> None:
        """Remember that the program uses a construct, for whoever has to serve it: a test is
        not served."""
        if self.extra:
            return
        places = self.reports.uses.get(construct)
        if places is None or len(places) < MOST_PLACES:
            self.reports.note(construct, token.span(self.reports.file))

    # --- bounds ---

    def enter(self) -> None:
        """One level deeper; the caller lowers `depth` again."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.snag(e.TOO_DEEP, self.token.span(self.reports.file), limit=MAX_DEPTH)

    def grow(self, *heights: int) -> None:
        """The expression just built stands on parts of these heights."""
        self.height = max(heights, default=0) + 1
        if self.height > MAX_HEIGHT:
            raise self.snag(e.TOO_DEEP, self.token.span(self.reports.file), limit=MAX_HEIGHT)

    # --- recovering ---

    def skip_to_member(self, braces: int) -> None:
        """To the next member of the block that was entered with `braces` open, or to its end."""
        while self.token.kind != "end":
            if self.braces <= braces:
                if self.at("}"):
                    return
                if self.token.first and self.token.kind == "ident":
                    return
            self.take()

    def listed(self, read: Callable[[], object]) -> bool:
        """Call `read` for each member before the closing brace; whether one was left out because
        it could not be read."""
        braces, depth = self.braces, self.depth
        broken = False
        while not self.at("}") and self.token.kind != "end":
            before = self.position
            try:
                read()
            except Snag:
                broken = True
                self.depth = depth
                if self.position == before:
                    self.take()
                self.skip_to_member(braces)
        return broken

    def skip_declaration(self) -> None:
        """To the first word of a line outside of all braces."""
        while self.token.kind != "end":
            if self.braces <= 0 and self.token.first and self.token.kind == "ident":
                return
            self.take()
