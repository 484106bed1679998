"""How a call of the queue is signed, and how its receiver checks that. Imports no server.

The signature is hex HMAC-SHA256 of `TIMESTAMP.BODY` under the shared secret, as in codeQ; the
headers are `X-CodeQ-Timestamp` (Unix seconds) and `X-CodeQ-Signature`.
"""

import hashlib
import hmac

TIMESTAMP = "X-CodeQ-Timestamp"
SIGNATURE = "X-CodeQ-Signature"
DELIVERY = "X-CodeQ-Delivery"
"""The same for every try of one call: whoever has seen it may answer 200 and do nothing."""

FRESH = 300.0


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-CodeQ-Signature`."""
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
