"""The gateway does not answer."""

from backstay.core.guide import Symptom
from backstay.core.process_guide import process_guide

GATEWAY_DEAD = process_guide(
    "gateway",
    seed="ai-platform: General status and health",
    symptoms=(Symptom("text", r"gateway.*(refused|not reachable|unreachable)", "no gateway"),),
    keeps="what was accepted is with the systems behind it and is not lost",
)
