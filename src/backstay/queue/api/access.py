"""Who may do what, as the queue reads a principal."""

from collections.abc import Sequence

from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.faults import AUTH_MISSING
from backstay.queue.errors import ALL_TENANTS_ONLY, EVENT_NOT_ALLOWED, SCOPE_MISSING
from backstay.queue.model import ANY_TENANT

PRODUCE, ADMIN, SUBSCRIBE = "codeq:produce", "codeq:admin", "codeq:subscribe"
CLAIM, HEARTBEAT, ABANDON, NACK, RESULT = (
    "codeq:claim",
    "codeq:heartbeat",
    "codeq:abandon",
    "codeq:nack",
    "codeq:result",
)
WORKER_SCOPES = (CLAIM, HEARTBEAT, ABANDON, NACK, RESULT, SUBSCRIBE)
"""What a worker's token can hold."""
LOOKERS = (PRODUCE, CLAIM, RESULT, ADMIN)


def require(principal: Principal, *scopes: str) -> None:
    """Raises AUTH005 (401) for nobody, QUEUE009 (403) for somebody with none of `scopes`."""
    if principal.kind == "anonymous":
        raise Fault(AUTH_MISSING)
    if any(principal.may(scope) for scope in scopes):
        return
    if ADMIN in scopes and {"admin", "ADMIN"} & principal.roles:
        return
    raise Fault(SCOPE_MISSING, scope=" or ".join(scopes))


def tenant_served(principal: Principal) -> str:
    """Its own tenant, or all (decision 3)."""
    if principal.kind in ("local", "system") or _words(principal, "tenants") == ["*"]:
        return ANY_TENANT
    return principal.tenant


def require_all_tenants(principal: Principal, what: str) -> None:
    """Raises QUEUE024 for somebody who serves one tenant only."""
    if tenant_served(principal) != ANY_TENANT:
        raise Fault(ALL_TENANTS_ONLY, what=what, tenant=principal.tenant)


def tenant_named(principal: Principal, named: str, unnamed: str) -> str:
    """The tenant that a request is about: its caller's own, or for those who serve all the one they
    name, `unnamed` when they name none. Raises QUEUE024 for somebody else's."""
    served = tenant_served(principal)
    if served == ANY_TENANT:
        return named or unnamed
    if named not in ("", served):
        require_all_tenants(principal, f"tenant {named}")
    return served


def worker_name(principal: Principal) -> str:
    return principal.sub or principal.kind


def commands_served(principal: Principal, wanted: Sequence[str]) -> tuple[str, ...]:
    """What a claim is for: `wanted` within the token's eventTypes; empty means any command.

    Raises QUEUE008 for the first command that the token does not cover.
    """
    named = tuple(dict.fromkeys(command for command in wanted if command != "*"))
    everything = len(named) < len(set(wanted)) or not wanted
    if principal.kind in ("local", "system") or "eventTypes" not in principal.claims:
        return () if everything else named
    allowed = _words(principal, "eventTypes")
    if "*" in allowed:
        return () if everything else named
    for command in named:
        if command not in allowed:
            raise Fault(EVENT_NOT_ALLOWED, command=command, allowed=", ".join(allowed) or "none")
    if not allowed:
        raise Fault(EVENT_NOT_ALLOWED, command="*", allowed="none")
    return tuple(allowed) if everything else named


def _words(principal: Principal, claim: str) -> list[str]:
    found = principal.claims.get(claim)
    return [str(word) for word in found] if isinstance(found, list) else []
