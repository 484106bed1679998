"""The guide that fits every process of Backstay: it ended, gave up, hangs, or is still starting."""

from collections.abc import Sequence

from backstay.core.guide import Cause, Fix, Guide, Symptom
from backstay.core.probes import exit_probe, live_probe, process_probe

_RUNNING = {"running": 0.97}


def process_guide(
    name: str, seed: str, symptoms: Sequence[Symptom], keeps: str, inside: Sequence[str] = ()
) -> Guide:
    """`NAME-dead` with the probes `NAME.live`, `NAME.process` and `NAME.exit`. `keeps` says what
    becomes of the work that was accepted; `inside` are other probes that ask this process, and
    fall silent with it."""
    own = Symptom("state", f"{name}.live=silent", f"nobody answers for the {name}")
    return Guide(
        id=f"{name}-dead",
        title=f"The {name} does not answer",
        seed=seed,
        symptoms=(*symptoms, Symptom("text", rf"\b{name}\.(sock|ctl)\b", "its socket"), own),
        probes=(live_probe(name), process_probe(name), exit_probe(name)),
        causes=_causes(name, inside),
        fixes=_fixes(name),
        escalation=keeps,
    )


def _causes(name: str, inside: Sequence[str]) -> tuple[Cause, ...]:
    silent = {probe: {"silent": 0.97} for probe in inside}
    late = {probe: {"late": 0.9} for probe in inside}
    return (
        Cause(
            f"{name}-gave-up",
            f"the {name} process ended again and again and is not restarted[[: {{exit_reason}}]]",
            0.04,
            {
                f"{name}.process": {"gave-up": 0.97},
                f"{name}.live": {"silent": 0.97},
                f"{name}.exit": {"other": 0.4, "signal": 0.3, "settings": 0.1, "store": 0.1},
                "up.supervisor": _RUNNING,
                **silent,
            },
            ("read", "restart"),
        ),
        Cause(
            f"{name}-dead",
            f"the {name} process[[ (pid {{pid}})]] is dead[[: {{exit_reason}}]]",
            0.05,
            {
                f"{name}.process": {"killed": 0.4, "restarting": 0.3, "stopped": 0.25},
                f"{name}.live": {"silent": 0.97},
                f"{name}.exit": {"signal": 0.5, "other": 0.2, "asked": 0.15, "never": 0.1},
                "up.supervisor": _RUNNING,
                **silent,
            },
            ("restart", "read"),
        ),
        Cause(
            f"{name}-hangs",
            f"the {name} process[[ (pid {{pid}})]] is there and does not answer",
            0.03,
            {
                f"{name}.live": {"late": 0.95},
                f"{name}.process": {"suspended": 0.5, "running": 0.45},
                "up.supervisor": _RUNNING,
                **late,
            },
            ("wake", "restart"),
        ),
        Cause(
            f"{name}-starting",
            f"the {name} process[[ (pid {{pid}})]] runs and is not ready yet",
            0.02,
            {
                f"{name}.live": {"not-ready": 0.8, "silent": 0.15},
                f"{name}.process": {"starting": 0.8, "running": 0.15},
                "up.supervisor": _RUNNING,
            },
            ("wait", "read"),
        ),
    )


def _fixes(name: str) -> tuple[Fix, ...]:
    return (
        Fix("restart", "Start it anew", f"backstay restart {name} --data {{data}}", "restart"),
        Fix("read", "Read why it ended", f"backstay logs {name} --data {{data}}", "none"),
        Fix("wake", "If it was suspended, let it go on", "kill -CONT {pid}", "none"),
        Fix("wait", "Look again in a few seconds", "backstay status --data {data}", "none"),
    )
