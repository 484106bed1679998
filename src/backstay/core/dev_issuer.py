"""The development issuer's secret: `<data>/dev-issuer.json`, mode 0600, made on the first `up`.

`up` and `backstay token` make it, the gateway (and a system that stands alone) reads it. JWT_SECRET
in the environment replaces it and makes tokens obligatory.
"""

import os
import secrets
from pathlib import Path

import msgspec

from backstay.core.settings import Secret

ISSUER = AUDIENCE = "backstay"
FILE = "dev-issuer.json"


class DevIssuer(msgspec.Struct, frozen=True):
    """The file's content."""

    secret: str
    issuer: str = ISSUER
    audience: str = AUDIENCE


def read_dev_issuer(data: Path) -> Secret | None:
    """The secret of this data folder; None where there is none. Never makes one."""
    try:
        found = msgspec.json.decode((data / FILE).read_bytes(), type=DevIssuer)
    except (OSError, msgspec.MsgspecError):
        return None
    return Secret(found.secret)


def make_dev_issuer(data: Path) -> Secret:
    """The secret of this data folder, made with 256 bits when there is none yet."""
    known = read_dev_issuer(data)
    if known is not None:
        return known
    made = DevIssuer(secrets.token_urlsafe(32))
    half = data / f".{FILE}.{os.getpid()}"
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(made))
    try:
        # link, not replace: of two who make it at the same time, one wins and both use that one.
        os.link(half, data / FILE)
    except FileExistsError:
        return read_dev_issuer(data) or Secret(made.secret)
    finally:
        half.unlink()
    return Secret(made.secret)
