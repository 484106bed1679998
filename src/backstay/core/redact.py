"""Secrets do not leave: every text that is logged, shown or kept as evidence passes here.

Two nets. Known secrets (settings register theirs) are found as they are and in the encodings
in which they travel. Structural rules catch secrets nobody registered: credentials in headers and
addresses, values of telling keys, JWTs, API keys, PEM blocks.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar, cast
from urllib.parse import quote, quote_plus

from backstay.core.errors import Plain

MASK = "****"
MIN_LENGTH = 4
"""Shorter secrets are not searched for: masking each `a` of a text would hide everything."""

P = TypeVar("P", bound=Plain)

_WORD = (
    r"(?:passw(?:or)?ds?|passwd|passphrase|secrets?|token|api[_-]?key|private[_-]?key|credential)"
)
_TELLING = re.compile(rf"(?:{_WORD}|authorization|cookie)$", re.IGNORECASE)
# What every rule and every telling key has in it, in lower case.
_SUSPECT = re.compile(
    rb"-----begin|eyj|bsk_|authorization|cookie|bearer|basic|://"
    rb"|passw|passphrase|secret|token|api[_-]?key|private[_-]?key|credential"
)
_KEYS = (
    *("passw", "passphrase", "secret", "token", "api_key", "api-key", "apikey"),
    *("private_key", "private-key", "privatekey", "credential"),
)


class _Rule(NamedTuple):
    """`hints` are cheap: without one of them in the lower-case text, the pattern cannot match.

    Texts come from outside, so every pattern takes time in proportion to the text: it begins with
    a word, and what follows is possessive or bounded.
    """

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    masked: str


_RULES: tuple[_Rule, ...] = (
    _Rule(
        ("-----begin",),
        re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?(?:-----END \1-----|\Z)", re.DOTALL),
        rf"-----BEGIN \1----- {MASK}",
    ),
    _Rule(("eyj",), re.compile(r"(?<![\w-])eyJ[\w-]{4,}+\.[\w-]++(?:\.[\w-]*+)?"), MASK),
    # API keys of a served program; their first letters are shown on purpose, and pass.
    _Rule(("bsk_",), re.compile(r"(?<![\w-])bsk_[\w-]{20,}+"), MASK),
    _Rule(
        ("authorization",),
        re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(\w+)\s+)?[^\s\"',;]+"),
        rf"\1\2 {MASK}",
    ),
    _Rule(
        ("cookie",),
        re.compile(r"(?i)((?:set-)?cookie[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+"),
        rf"\1{MASK}",
    ),
    _Rule(
        ("bearer", "basic"),
        re.compile(r"(?i)\b(bearer|basic)\s+(?!\*{4})[\w.~+/=-]{8,}"),
        rf"\1 {MASK}",
    ),
    _Rule(
        ("://",),
        re.compile(r"(://[^\s/@:\"']{0,256}+):[^\s/\"']{0,1024}@"),
        rf"\1:{MASK}@",
    ),
    _Rule(
        _KEYS,
        re.compile(
            rf"(?i)({_WORD}(\\?[\"'])?\s*+[:=]\s*+)"
            r"(?:\\\"[^\"\\]*+(?:\\\")?|\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?"
            r"|(?!\*{4})[^\s,;&}\]\"']++)"
        ),
        rf"\1\2{MASK}\2",
    ),
)


class Redactor:
    """Masks secrets in texts and in plain values. Learning is cheap and happens at start."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._forms: tuple[str, ...] = ()
        self._raw_forms: tuple[bytes, ...] = ()

    def learn(self, secret: str) -> None:
        """From now on `secret` is masked wherever it appears. Known or tiny ones change nothing."""
        if len(secret) < MIN_LENGTH or secret in self._secrets:
            return
        self._secrets |= {secret}
        # The longest first: one secret may be part of another's encoding.
        forms = set(self._forms).union(_forms(secret))
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        self._raw_forms = tuple(form.encode("utf-8", "surrogatepass") for form in self._forms)

    def redact(self, text: str) -> str:
        """`text` with each known secret, and each that looks like one, replaced by `****`."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        lower = text.lower()
        for rule in _RULES:
            if any(hint in lower for hint in rule.hints):
                text = rule.pattern.sub(rule.masked, text)
        return text

    def harmless(self, line: bytes) -> bool:
        """Whether `line`, text or JSON, surely holds nothing to mask: one look over all of it, for
        lines that are written thousands of times a second."""
        if not line.isascii() or _SUSPECT.search(line.lower()):
            return False
        return not any(form in line for form in self._raw_forms)

    def redact_plain(self, value: P) -> P:
        """The same for a JSON-like value; values under telling keys are masked whole."""
        return cast("P", self._plain(value))

    def _plain(self, value: Plain) -> Plain:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, dict):
            return {
                self.redact(key): MASK if _hidden(key, part) else self._plain(part)
                for key, part in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self._plain(part) for part in value]
        return value


def telling(key: str) -> bool:
    """Whether a value under this key is secret by its name: `dbPassword`, `x-api-key`, `token`."""
    return _TELLING.search(key) is not None


def redactor() -> Redactor:
    """The one of this process: settings teach it, logs and evidence pass through it."""
    return _PROCESS


def _hidden(key: str, value: Plain) -> bool:
    return value is not None and not isinstance(value, bool) and value != "" and telling(key)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    raw = secret.encode("utf-8", "surrogatepass")
    for form in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield form
        yield re.sub(r"%[0-9A-F]{2}", lambda hit: hit[0].lower(), form)
    for ascii_only in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", r"\/")
    yield raw.hex()
    yield from _base64_forms(raw)


def _base64_forms(raw: bytes) -> Iterator[str]:
    """The secret alone, and its kernel at each of the three offsets it can have inside another
    text (`user:secret` of Basic authentication)."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode()
        for offset in range(3):
            text = encode(bytes(offset) + raw).decode()
            first = -(-offset * 8 // 6)
            last = (offset + len(raw)) * 8 // 6
            if last - first >= MIN_LENGTH:
                yield text[first:last]


_PROCESS = Redactor()
