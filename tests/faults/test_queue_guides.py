"""The guides of the queue as data: nothing in them points to a thing that is not there."""

import re
import shlex

import click
import pytest

from backstay.cli.backstay import command as backstay
from backstay.cli.codeq import command as codeq
from backstay.core.guide import Fix, Guide
from backstay.queue.guides import GUIDES

SEED_SECTIONS = (
    *("CLI Command Not Found", "CLI Cannot Connect to API", "Authentication Errors"),
    *("Server Won't Start", "High Memory Usage", "Slow Response Times"),
    *("Worker Not Claiming Tasks", "Worker Lease Expired", "NACK/Retry Loop"),
    *("Connection Refused", "Data Inconsistency", "High Memory Usage in KVRocks"),
    *("JWT Token Expired", "JWKS Validation Failure", "Missing Scopes"),
    *("Helm Chart Installation Fails", "Pod CrashLoopBackOff", "High Latency", "Task Delays"),
)


def test_every_entry_of_the_seed_has_its_guide() -> None:
    answered = " ".join(guide.seed for guide in GUIDES)
    assert [section for section in SEED_SECTIONS if section not in answered] == []


def fixes() -> list[tuple[str, Fix]]:
    return [(f"{guide.id}/{fix.id}", fix) for guide in GUIDES for fix in guide.fixes]


@pytest.mark.parametrize(("name", "fix"), fixes(), ids=lambda it: it if isinstance(it, str) else "")
def test_what_a_fix_tells_to_type_is_a_command_that_exists(name: str, fix: Fix) -> None:
    for command in re.split(r"; |&& ", fix.command):
        words = shlex.split(command)
        group: click.Command | None = {"codeq": codeq, "backstay": backstay}.get(words[0])
        words = words[1:]
        while isinstance(group, click.Group):
            step = group.commands.get(words[0]) or group.get_command(click.Context(group), words[0])
            assert step is not None, f"{name}: {command}"
            group, words = step, words[1:]
        if group is not None:
            known = {option for param in group.params for option in param.opts}
            asked = {word for word in words if word.startswith("--")}
            assert asked <= known | {"--data"}, f"{name}: {command}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.id)
def test_causes_know_only_readings_that_probes_give(guide: Guide) -> None:
    readings = {probe.id: probe.readings for one in GUIDES for probe in one.probes}
    universal = ("silent", "late", "forbidden")
    for cause in guide.causes:
        for probe, expected in cause.expects.items():
            if probe in readings:
                assert set(expected) <= {*readings[probe], *universal}, f"{cause.id}: {probe}"
        assert set(cause.fixes) <= {fix.id for fix in guide.fixes}, cause.id
        assert cause.fixes, f"{cause.id} leaves its reader alone"
    named = {fix for cause in guide.causes for fix in cause.fixes}
    assert {fix.id for fix in guide.fixes} <= named, "a fix that no cause names"
