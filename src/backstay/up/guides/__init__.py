"""Troubleshooting guides of what `backstay up` does: coming up at all, and the disk under it."""

from backstay.core.guide import Guide
from backstay.up.guides.disk import DISK_FULL
from backstay.up.guides.port import PORT_TAKEN

GUIDES: tuple[Guide, ...] = (PORT_TAKEN, DISK_FULL)
