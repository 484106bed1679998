"""How a call of the queue is signed, and how its receiver checks that. Imports no server.

The signature is hex HMAC-SHA256 of `TIMESTAMP.BODY` under the shared secret, as in codeQ; the
headers are `X-CodeQ-Timestamp` (Unix seconds) and `X-CodeQ-Signature`.
"""

from backstay.core.signing import FRESH, sign, verify

__all__ = ["DELIVERY", "FRESH", "SIGNATURE", "TIMESTAMP", "sign", "verify"]

TIMESTAMP = "X-CodeQ-Timestamp"
SIGNATURE = "X-CodeQ-Signature"
DELIVERY = "X-CodeQ-Delivery"
"""The same for every try of one call: whoever has seen it may answer 200 and do nothing."""
