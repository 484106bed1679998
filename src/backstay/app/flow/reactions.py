"""What a step says about its end, compiled: what happens in the commit of that end."""

from backstay.app.errors import UNFIT
from backstay.app.flow.plans import Reaction
from backstay.app.flow.work import compile_said
from backstay.app.plan.acts import Deed, Offer
from backstay.core.errors import Fault
from backstay.lang.program import Act, Program, Said


def on_success(program: Program, said: Said | None, offer: Offer, where: str) -> Deed | None:
    """Raises APP005 for what is not done in a transaction."""
    if said is None:
        return None
    named = compile_said(program, said, offer, where)
    if named.deed is None:
        raise _elsewhere(said, where, "make it a step of its own")
    return named.deed


def on_fail(program: Program, said: Said | None, offer: Offer, where: str) -> Reaction | None:
    """Raises APP005 for what is not done in a transaction."""
    if said is None:
        return None
    named = compile_said(program, said, offer, where)
    if named.work is not None:
        raise _elsewhere(said, where, "write it after compensate:")
    return Reaction(named.deed, named.message, named.goes_on)


def _elsewhere(said: Said, where: str, instead: str) -> Fault:
    name = said.name if isinstance(said, Act) else "…"
    problem = f"'{name}' is not done in the transaction of the step"
    return Fault(UNFIT, where=where, problem=problem, instead=instead)
