"""`.cai` text as it is written today: old spellings in the canonical one, and one way to space the
words of a line. Comments and the lines that were there stay."""

from backstay.lang.format.layout import format_text

__all__ = ["format_text"]
