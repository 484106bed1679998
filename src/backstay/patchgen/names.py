"""Names: the seed's three patterns (P74), what is made of a bad name, what a package is called.

Every pattern is matched against the whole string, so a trailing newline or a look-alike letter
never passes.
"""

import re

KUBERNETES_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
CORRELATION_PATTERN = "^[a-zA-Z0-9-_]+$"
SEMVER_PATTERN = r"^v?\d+\.\d+\.\d+(-[a-zA-Z0-9]+)?$"

NAMESPACE_LIMIT = 63
TARGET_LIMIT = 253
LABEL_LIMIT = 63
"""Longest package name: Porch, labels and many tools take no more."""

_KUBERNETES = re.compile(KUBERNETES_PATTERN[1:-1])
_CORRELATION = re.compile(r"[a-zA-Z0-9\-_]+")
_SEMVER = re.compile(SEMVER_PATTERN[1:-1], re.ASCII)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_FOREIGN = re.compile(r"[^a-z0-9-]")
_MIDDLE = "-scaling-patch-"
_HASH_DIGITS = 10


def is_kubernetes_name(text: str) -> bool:
    """Whether `text` is lowercase ASCII alphanumeric with hyphens inside (P12). No length rule."""
    return _KUBERNETES.fullmatch(text) is not None


def is_correlation_id(text: str) -> bool:
    """Whether `text` is made of ASCII letters, digits, `-` and `_` (P74)."""
    return _CORRELATION.fullmatch(text) is not None


def is_semantic_version(text: str) -> bool:
    """Whether `text` is `1.2.3`, with `v` and one pre-release word at most (P74)."""
    return _SEMVER.fullmatch(text) is not None


def control_in(text: str) -> str:
    """The first character that no text for people needs (control characters but newline and tab,
    byte order marks, and what is no character at all), or ""."""
    found = _CONTROL.search(text)
    return found.group() if found else ""


def sanitize_name(text: str) -> str:
    """The nearest valid name (P32): lower case, foreign characters become `-`, 253 at most, and
    `unnamed` when nothing is left. Only ever suggested, never applied in silence."""
    cleaned = _FOREIGN.sub("-", text.lower()).strip("-")[:TARGET_LIMIT].strip("-")
    return cleaned or "unnamed"


def package_name(target: str, intent_hash: str) -> str:
    """`<target>-scaling-patch-<10 hex>`, 63 characters at most.

    The hash speaks for the whole intent, so a target that must be cut stays told apart from every
    other one.
    """
    tail = f"{_MIDDLE}{intent_hash[:_HASH_DIGITS]}"
    return target[: LABEL_LIMIT - len(tail)].rstrip("-") + tail


def is_package_name(text: str) -> bool:
    """Whether a folder can be a package of ours, by its name alone."""
    head, middle, tail = text.rpartition(_MIDDLE)
    digits = len(tail) == _HASH_DIGITS and all(char in "0123456789abcdef" for char in tail)
    return bool(middle) and digits and len(text) <= LABEL_LIMIT and is_kubernetes_name(head)
