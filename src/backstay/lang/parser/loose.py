"""Where the old dialects did without signs that the language has now; `fmt` writes them."""

LOOSE = frozenset(
    {
        "config",
        "settings",
        "database",
        "model",
        "collection",
        "indexes",
        "provider",
        "role",
        "middleware",
        "event",
        "webhook",
        "integration",
        "circuit_breaker",
        "endpoint",
        "workflow",
        "steps",
        "step",
        "job",
        "retry",
    }
)
"""Blocks of the old dialects: the colon of a member may be missing, and members may share a line
without commas."""

_BARE = {
    "provider": ["method", "jwks_url", "issuer", "audience"],
    "role": ["permissions"],
    "middleware": ["type"],
    "integration": ["type", "base_url", "auth", "timeout"],
    "circuit_breaker": ["threshold", "timeout", "max_concurrent"],
    "webhook": ["event", "url", "method", "retry", "initial_interval", "backoff"],
    "endpoint": ["middleware", "require_role", "request", "response", "error"],
    "workflow": ["trigger", "timeout"],
    "step": ["activity", "if"],
    "job": ["schedule", "task", "queue"],
    "retry": ["max_attempts", "initial_interval", "backoff_multiplier"],
}
BARE = frozenset(f"{block}.{name}" for block, names in _BARE.items() for name in names)
"""Members that the old dialects wrote without a colon."""
