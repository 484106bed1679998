"""How a call that we make to other people's servers is signed, and how its receiver checks that.

The signature is hex HMAC-SHA256 of `TIMESTAMP.BODY` under the shared secret; the timestamp is Unix
seconds and stands in a header of its own. Which headers these are is each system's own.
"""

import hashlib
import hmac

FRESH = 300.0


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a body that is sent at this time."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify(
    secret: str, timestamp: str, body: bytes, signature: str, now: float, fresh: float = FRESH
) -> bool:
    """Whether this call was made by somebody who knows `secret`, at most `fresh` seconds before or
    after `now` (epoch seconds): a call that was listened to cannot be sent again later. `body` is
    what came, byte for byte. False for anything malformed."""
    if not secret or not (timestamp.isascii() and timestamp.isdigit()) or not signature.isascii():
        return False
    known = hmac.compare_digest(sign(secret, timestamp, body), signature.strip().lower())
    return known and abs(now - float(timestamp)) <= fresh
