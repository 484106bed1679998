"""Troubleshooting guides of patchgen: every entry of its seed."""

from backstay.core.guide import Guide
from backstay.patchgen.guides.intents import CONFLICT, INVALID, NOT_JSON, TRAVERSAL
from backstay.patchgen.guides.migration import MIGRATION
from backstay.patchgen.guides.output import DENIED, FULL, MISSING
from backstay.patchgen.guides.process import DEAD, MEMORY, SLOW

GUIDES: tuple[Guide, ...] = (
    DEAD,
    NOT_JSON,
    INVALID,
    MISSING,
    DENIED,
    FULL,
    TRAVERSAL,
    CONFLICT,
    SLOW,
    MEMORY,
    MIGRATION,
)
