"""The judge names the cause that the evidence shows, nothing more, and always in the same bytes."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.core.guide import UNIVERSAL_READINGS, Cause, Evidence, Fix, Guide, Probe
from backstay.doctor.judge import judge
from backstay.doctor.verdict import encode
from backstay.systems import guides

GUIDES = guides()
PROBES = {probe.id: probe for guide in GUIDES for probe in guide.probes}

HEALTHY = {
    "up.supervisor": "running",
    "up.port": "ours",
    "disk.free": "plenty",
    "queue.live": "ready",
    "queue.process": "running",
    "queue.store": "writable",
    "queue.file": "fine",
    "queue.commands": "served",
    "queue.workers": "all-run",
    "app.live": "ready",
    "app.process": "running",
    "app.database": "works",
    "app.file": "fine",
    "app.breakers": "closed",
    "app.services": "up",
    "gateway.live": "ready",
    "gateway.process": "running",
    "token.own": "accepted",
}
WARN = {"low", "not-ready", "starting", "failures", "failures-slow"}


def looks(readings, facts=None):
    """Evidence of these readings; what is not the healthy reading is a failure."""
    return [
        Evidence(
            probe,
            reading,
            "pass"
            if reading in (HEALTHY.get(probe), "idle", "in-time", "same", "known", "never", "asked")
            else "warn"
            if reading in WARN
            else "fail",
            facts=facts or {},
            sha256=f"{probe}={reading}",
        )
        for probe, reading in readings.items()
    ]


def verdict_on(changes, facts=None):
    return judge(GUIDES, looks(HEALTHY | changes, facts))


SILENT_QUEUE = {"queue.live": "silent", "queue.store": "silent", "queue.commands": "silent"}
SILENT_APP = {"app.live": "silent", "app.database": "silent", "app.breakers": "silent"}
SILENT_GATEWAY = {"gateway.live": "silent", "up.port": "free"}

# What the probes say of processes that no supervisor keeps counts for nothing (`skip`).
NOT_RUNNING = {"disk.free": "plenty", "queue.file": "fine", "app.file": "fine"}

FAULTS = [
    # the ten faults, several as they can look
    (SILENT_QUEUE | {"queue.process": "killed", "queue.exit": "signal"}, {"queue-dead"}),
    (SILENT_QUEUE | {"queue.process": "restarting", "queue.exit": "signal"}, {"queue-dead"}),
    (SILENT_QUEUE | {"queue.process": "gave-up", "queue.exit": "other"}, {"queue-gave-up"}),
    (
        {
            "queue.live": "late",
            "queue.store": "late",
            "queue.commands": "late",
            "queue.process": "suspended",
        },
        {"queue-hangs"},
    ),
    ({"queue.store": "not-writable", "queue.file": "not-writable"}, {"store-not-writable"}),
    ({"queue.store": "failing", "queue.file": "read-only-disk"}, {"store-not-writable"}),
    ({"queue.file": "not-writable"}, {"store-not-writable"}),
    ({"queue.store": "failing"}, {"store-not-writable"}),
    ({"app.database": "failing"}, {"database-not-writable"}),
    ({"app.file": "not-writable"}, {"database-not-writable"}),
    (
        SILENT_QUEUE
        | {"queue.process": "gave-up", "queue.exit": "store", "queue.file": "not-writable"},
        {"store-not-writable"},
    ),
    ({"queue.store": "gone", "queue.file": "missing"}, {"store-gone"}),
    ({"queue.store": "locked", "queue.file": "held"}, {"store-held"}),
    ({"queue.store": "damaged"}, {"store-damaged"}),
    ({"app.breakers": "open-failing", "app.services": "down"}, {"service-down"}),
    ({"app.breakers": "closed", "app.services": "down"}, {"service-down"}),
    ({"app.breakers": "open-failing"}, {"target-down"}),
    ({"app.breakers": "open-slow"}, {"target-slow"}),
    ({"app.breakers": "open-slow", "app.services": "hangs"}, {"target-slow"}),
    ({"app.database": "locked", "app.file": "held"}, {"database-locked"}),
    ({"app.database": "failing", "app.file": "held"}, {"database-locked"}),
    ({"app.database": "gone", "app.file": "missing"}, {"database-gone"}),
    ({"app.file": "missing"}, {"database-gone"}),
    (
        SILENT_APP | {"app.process": "gave-up", "app.exit": "store", "app.file": "missing"},
        {"database-gone"},
    ),
    (
        {"token.shape": "in-time", "token.key": "other", "token.answer": "invalid"},
        {"wrong-jwt-secret"},
    ),
    (
        {"token.shape": "in-time", "token.key": "foreign", "token.answer": "invalid"},
        {"wrong-jwt-secret"},
    ),
    ({"token.own": "invalid"}, {"wrong-jwt-secret"}),
    ({"token.shape": "malformed", "token.answer": "invalid"}, {"damaged-token"}),
    (
        {"token.shape": "expired", "token.key": "same", "token.answer": "expired"},
        {"expired-token"},
    ),
    ({"token.shape": "in-time", "token.answer": "expired"}, {"clock-wrong"}),
    (
        {
            **SILENT_GATEWAY,
            "gateway.process": "gave-up",
            "gateway.exit": "port",
            "up.port": "foreign",
        },
        {"port-taken"},
    ),
    ({"disk.free": "low"}, {"disk-nearly-full"}),
    ({"disk.free": "full"}, {"disk-nearly-full"}),
    ({"disk.free": "full", "queue.store": "full", "app.database": "full"}, {"disk-nearly-full"}),
    ({"queue.commands": "unserved"}, {"no-worker"}),
    ({"queue.commands": "left"}, {"worker-left"}),
    ({"queue.commands": "left", "queue.workers": "down"}, {"worker-down"}),
    ({"queue.commands": "idle", "queue.workers": "down"}, {"worker-down"}),
    # the rest
    (
        SILENT_APP | {"app.process": "killed", "app.exit": "signal"},
        {"app-dead"},
    ),
    (
        SILENT_GATEWAY | {"gateway.process": "killed", "gateway.exit": "signal"},
        {"gateway-down"},
    ),
    # several at once
    (
        SILENT_QUEUE | {"queue.process": "killed", "disk.free": "low"},
        {"queue-dead", "disk-nearly-full"},
    ),
    (
        {
            "app.breakers": "open-failing",
            "app.services": "down",
            "queue.commands": "left",
            "queue.workers": "down",
            "app.database": "locked",
            "app.file": "held",
        },
        {"service-down", "worker-down", "database-locked"},
    ),
    (
        SILENT_QUEUE
        | SILENT_APP
        | {"queue.process": "killed", "app.process": "gave-up", "app.exit": "other"},
        {"queue-dead", "app-gave-up"},
    ),
]


@pytest.mark.parametrize(("changes", "causes"), FAULTS, ids=[str(sorted(c)) for _, c in FAULTS])
def test_each_fault_is_named_and_nothing_else(changes, causes):
    verdict = verdict_on(changes)
    assert {finding.cause for finding in verdict.findings} == causes
    assert verdict.status == "wrong"
    assert verdict.unclear == ()


def test_a_healthy_system_has_no_findings():
    verdict = verdict_on({})
    assert (verdict.status, verdict.findings, verdict.unclear) == ("healthy", (), ())


def test_a_system_without_app_and_workers_is_healthy():
    some = {
        probe: reading
        for probe, reading in HEALTHY.items()
        if not probe.startswith(("app.", "queue.workers"))
    }
    assert judge(GUIDES, looks(some)).status == "healthy"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"up.supervisor": "never", "up.port": "free"}, "not-started"),
        ({"up.supervisor": "stopped", "up.port": "free"}, "stopped"),
        ({"up.supervisor": "killed", "up.port": "free"}, "killed"),
        ({"up.supervisor": "never", "up.port": "foreign"}, "port-taken"),
        ({"up.supervisor": "stopped", "up.port": "foreign"}, "port-taken"),
        ({"up.supervisor": "killed", "up.port": "foreign"}, "port-taken"),
        (
            {
                "up.supervisor": "stopped",
                "up.port": "free",
                "queue.process": "gave-up",
                "queue.exit": "store",
                "queue.file": "not-writable",
            },
            "store-not-writable",
        ),
    ],
)
def test_what_does_not_run_is_diagnosed_from_what_it_left(changes, cause):
    verdict = judge(GUIDES, looks(NOT_RUNNING | changes))
    assert cause in [finding.cause for finding in verdict.findings]
    assert len(verdict.findings) == (2 if cause == "store-not-writable" else 1)
    assert verdict.unclear == ()


def test_nothing_was_ever_started():
    readings = {"up.supervisor": "never", "up.port": "free", "disk.free": "plenty"}
    verdict = judge(GUIDES, looks(readings, {"data": "/d", "app_file": ""}))
    assert [finding.cause for finding in verdict.findings] == ["not-started"]
    assert verdict.findings[0].fixes[0].command.startswith("backstay up")


def test_a_finding_shows_evidence_what_was_ruled_out_and_what_to_type():
    verdict = verdict_on(
        SILENT_QUEUE | {"queue.process": "killed", "queue.exit": "signal"},
        {"data": "/d", "pid": 7, "exit_reason": "killed by signal 9"},
    )
    (finding,) = verdict.findings
    assert finding.says == "the queue process (pid 7) is dead: killed by signal 9"
    assert finding.probability > 0.9
    assert {one.probe for one in finding.evidence} >= {"queue.live", "queue.process", "queue.exit"}
    assert all(one.weight > 0 and one.sha256 and one.asks for one in finding.evidence)
    out = {out.cause: out for out in finding.ruled_out}
    assert out["queue-hangs"].reading == "silent"
    assert out["queue-hangs"].expected == "late"
    assert finding.fixes[0].command == "backstay restart queue --data /d"
    assert finding.would_change_my_mind


def test_trouble_no_cause_knows_is_unclear_not_healthy():
    verdict = verdict_on({"queue.store": "other-version"})
    assert verdict.status == "unclear"
    assert [one.guide for one in verdict.unclear] == ["queue-store"]
    assert verdict.unclear[0].evidence[0].reading == "other-version"


def test_what_one_fault_explains_is_not_told_twice():
    verdict = verdict_on(
        SILENT_QUEUE
        | {"queue.process": "gave-up", "queue.exit": "store", "queue.file": "not-writable"},
        {"exit_reason": "CORE041", "path": "/d/queue.db", "why": "mode 0444"},
    )
    (finding,) = verdict.findings
    assert finding.says == "the queue's store /d/queue.db cannot be written: mode 0444"
    assert len(finding.follows) == 1
    assert "gave" in finding.follows[0] or "ended again" in finding.follows[0]


def test_what_the_user_saw_counts_but_does_not_beat_what_is_seen():
    symptom = Evidence("symptom.queue-dead", "named", "warn", {"says": "x"})
    verdict = judge(GUIDES, [*looks(HEALTHY), symptom])
    assert verdict.status == "healthy"
    assert any(out.cause == "queue-dead" for out in verdict.ruled_out)


def test_an_expired_token_can_be_told_from_its_error_text_alone():
    symptom = Evidence("symptom.expired-token", "named", "warn", {"says": "x"})
    verdict = judge(GUIDES, [*looks(HEALTHY), symptom])
    assert [finding.cause for finding in verdict.findings] == ["expired-token"]


some_readings = st.fixed_dictionaries(
    {
        name: st.sampled_from([*probe.readings, *UNIVERSAL_READINGS])
        for name, probe in PROBES.items()
    }
)
outcomes = st.sampled_from(["pass", "warn", "fail", "skip", "unknown"])


@st.composite
def evidences(draw):
    readings = draw(some_readings)
    chosen = draw(st.sets(st.sampled_from(sorted(readings))))
    return [
        Evidence(
            probe,
            readings[probe],
            draw(outcomes)
            if readings[probe] not in UNIVERSAL_READINGS
            else draw(st.sampled_from(["fail", "unknown"])),
            facts={"n": draw(st.integers(0, 3))},
            at=float(draw(st.integers(0, 3))),
            sha256=probe,
        )
        for probe in sorted(chosen)
    ]


@settings(deadline=None)
@given(evidences(), st.randoms())
def test_the_order_of_evidence_and_guides_does_not_matter(evidence, random):
    mixed, turned = list(evidence), list(GUIDES)
    random.shuffle(mixed)
    random.shuffle(turned)
    assert encode(judge(GUIDES, evidence)) == encode(judge(turned, mixed))


@settings(deadline=None)
@given(evidences())
def test_a_verdict_on_replayed_evidence_is_the_same_bytes(evidence):
    replayed = msgspec.json.decode(msgspec.json.encode(evidence), type=list[Evidence])
    assert encode(judge(GUIDES, replayed)) == encode(judge(GUIDES, evidence))


def p_none(guide, evidence):
    (one,) = [g for g in GUIDES if g.id == guide]
    from backstay.doctor.belief import believe

    sizes = {name: len(probe.readings) + 3 for name, probe in PROBES.items()}
    return believe(one, {e.probe: e for e in evidence}, sizes).odds["none"]


@settings(deadline=None)
@given(evidences(), st.sampled_from(sorted(PROBES)), st.sampled_from(["fail", "unknown"]))
def test_silence_never_makes_healthier(evidence, probe, outcome):
    without = [one for one in evidence if one.probe != probe]
    silent = Evidence(probe, "silent", outcome)
    for guide in GUIDES:
        assert p_none(guide.id, [*without, silent]) <= p_none(guide.id, without) + 1e-12
    if judge(GUIDES, without).status != "healthy":
        assert judge(GUIDES, [*without, silent]).status != "healthy"


def test_of_two_looks_by_one_probe_the_later_counts():
    early = Evidence("disk.free", "full", "fail", at=1.0)
    late = Evidence("disk.free", "plenty", "pass", at=2.0)
    assert judge(GUIDES, [late, early]).status == "healthy"


async def _nothing(target):
    raise NotImplementedError


def test_a_cause_without_evidence_for_it_is_never_named():
    probe = Probe("p", "?", "inside", ("ok", "bad"), _nothing)
    likely = Cause("likely", "", 0.9, {"other": {"x": 1.0}})
    guide = Guide("g", "", "", (), (probe,), (likely,), (Fix("f", "", "", "none"),))
    verdict = judge([guide], [Evidence("p", "bad", "fail")])
    assert verdict.status == "unclear"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.id)
def test_every_guide_is_sound(guide):
    fixes = {fix.id for fix in guide.fixes}
    assert len({cause.id for cause in guide.causes}) == len(guide.causes)
    for cause in guide.causes:
        assert cause.fixes, cause.id
        assert set(cause.fixes) <= fixes, cause.id
        assert 0 < cause.prior < 0.2
        for probe, table in cause.expects.items():
            if probe.startswith("symptom."):
                continue
            assert set(table) <= {*PROBES[probe].readings, *UNIVERSAL_READINGS}, (cause.id, probe)
            assert sum(table.values()) <= 1.0 + 1e-9, (cause.id, probe)
    assert fixes == {name for cause in guide.causes for name in cause.fixes}
    assert guide.symptoms
    assert guide.seed


def test_ids_of_guides_probes_and_causes_are_unique():
    assert len({guide.id for guide in GUIDES}) == len(GUIDES)
    causes = [cause.id for guide in GUIDES for cause in guide.causes]
    assert len(set(causes)) == len(causes)
    owned = [probe.id for guide in GUIDES for probe in guide.probes]
    shared = {probe for probe in owned if owned.count(probe) > 1}
    told = {"patchgen.message", "patchgen.path", "patchgen.output"}
    assert shared <= {"token.shape", "token.answer", *told}


def test_every_guide_that_an_error_points_to_exists():
    from backstay.up.catalogue import entries

    named = {entry.guide for entry in entries() if entry.guide}
    assert named
    assert named <= {guide.id for guide in GUIDES}
