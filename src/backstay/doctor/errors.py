"""What can go wrong with the doctor itself."""

from backstay.core.errors import ErrorEntry, Exit

NO_GUIDE = ErrorEntry(
    code="DOC001",
    message="no troubleshooting guide is called {name!r}",
    cause="the guides are: {known}",
    fix="name one of them{nearest}",
    exit=Exit.USAGE,
)
BUNDLE_UNWRITABLE = ErrorEntry(
    code="DOC002",
    message="the bundle {path} cannot be written: {reason}",
    cause="the folder is missing, not writable or full",
    fix="give a path in a folder you can write to: --bundle FILE",
    exit=Exit.USAGE,
)
BUNDLE_UNREADABLE = ErrorEntry(
    code="DOC003",
    message="the bundle {path} cannot be read: {reason}",
    cause="it is missing, or no file that `backstay doctor --bundle` wrote",
    fix="give the path of a bundle: --replay FILE",
    exit=Exit.USAGE,
)

ENTRIES = (NO_GUIDE, BUNDLE_UNWRITABLE, BUNDLE_UNREADABLE)
