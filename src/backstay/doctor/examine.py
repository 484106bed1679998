"""Asking the probes: all at once, each within its deadline, none able to spoil the others."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from backstay.core.clock import Clock
from backstay.core.guide import (
    FORBIDDEN,
    LATE,
    SILENT,
    UNIVERSAL_READINGS,
    Evidence,
    Guide,
    Probe,
    Target,
)
from backstay.core.probing import seen
from backstay.core.redact import redactor


def probes_for(asked: Sequence[Guide], all_guides: Iterable[Guide]) -> list[Probe]:
    """The probes of the guides asked about, and those of others that their causes mention."""
    mentioned = {name for guide in asked for cause in guide.causes for name in cause.expects}
    mentioned.update(probe.id for guide in asked for probe in guide.probes)
    known: dict[str, Probe] = {}
    for guide in all_guides:
        for probe in guide.probes:
            if probe.id in mentioned:
                known.setdefault(probe.id, probe)
    return list(known.values())


async def examine(probes: Sequence[Probe], target: Target, clock: Clock) -> list[Evidence]:
    """Evidence of every probe, in the order of `probes`. Never raises: a probe that fails is
    `silent`, one that takes too long `late`, one that may not look `forbidden`."""
    return list(await asyncio.gather(*(_ask(probe, target, clock) for probe in probes)))


async def _ask(probe: Probe, target: Target, clock: Clock) -> Evidence:
    began = clock.tick()
    try:
        async with asyncio.timeout(probe.deadline * target.patience):
            found = await probe.run(target)
        if found.reading not in (*probe.readings, *UNIVERSAL_READINGS):
            raise ValueError(f"{probe.id} gave the undeclared reading {found.reading!r}")
    except TimeoutError:
        found = seen(probe.id, LATE, "unknown", deadline=probe.deadline * target.patience)
    except PermissionError as refused:
        found = seen(probe.id, FORBIDDEN, "unknown", reason=str(refused))
    except Exception as failure:  # noqa: BLE001 - what a probe meets is evidence, not our end
        found = seen(probe.id, SILENT, "unknown", reason=f"{type(failure).__name__}: {failure}")
    return msgspec.structs.replace(
        found,
        facts=_clean(found.facts),
        at=clock.now(),
        took=round(clock.tick() - began, 6),
    )


def _clean(facts: Mapping[str, object]) -> dict[str, object]:
    # Again, though `seen` did: a probe of somebody else may build its evidence itself.
    plain = msgspec.to_builtins(dict(facts), enc_hook=str)
    cleaned: dict[str, object] = redactor().redact_plain(plain)
    return cleaned
