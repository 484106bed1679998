"""Troubleshooting guides of the gateway: its process, and tokens that it refuses."""

from backstay.core.guide import Guide
from backstay.gateway.guides.process import GATEWAY_DEAD
from backstay.gateway.guides.tokens import EXPIRED_TOKEN, WRONG_SECRET

GUIDES: tuple[Guide, ...] = (GATEWAY_DEAD, WRONG_SECRET, EXPIRED_TOKEN)
