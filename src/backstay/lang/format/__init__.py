"""`.cai` text in its canonical layout: the same words, the same lines, one way to space them."""

from backstay.lang.format.layout import format_text

__all__ = ["format_text"]
