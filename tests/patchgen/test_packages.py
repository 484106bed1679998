"""Packages on a disk: verified, compared, taken back, held against each other; object functions."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from tests.patchgen.support import intent, patchgen, text_of, writer
from tests.patchgen.test_tools import base_of

from backstay.core.errors import Fault
from backstay.patchgen import krm
from backstay.patchgen.controller import reconcile
from backstay.patchgen.library import PatchPackage
from backstay.patchgen.model import Constraints, Intent
from backstay.patchgen.packages import read_package
from backstay.patchgen.render import render


def put(folder: Path, made: Intent) -> Path:
    [placed] = writer(folder).place([render(made)])
    return placed.path  # type: ignore[union-attr]


HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "scaler", "namespace": "default"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "test"},
        "minReplicas": 1,
        "maxReplicas": 9,
    },
}


def test_a_package_is_read_back_as_its_intent(tmp_path: Path) -> None:
    made = intent(
        target_kind="StatefulSet", reason='a\n"b"', source="user", correlation_id="c-1",
        constraints=Constraints(max_replicas=5, allowed_namespaces=("default",)),
    )  # fmt: skip
    found = read_package(put(tmp_path, made))
    assert (found.intent, found.changed) == (made, "")
    assert found.provenance.intent_hash == f"sha256:{made.hash}"
    assert (found.provenance.source, found.provenance.correlation_id) == ("user", "c-1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("replicas: 3", "replicas: 4"), ('name: "test"', 'name: "other"'),
        ('intent-hash: "sha256:', 'intent-hash: "sha256:0'), ("spec:", "# a remark\nspec:"),
        ('reason: "why"', 'reason: "because"'),
    ],
)  # fmt: skip
def test_any_change_of_the_patch_is_seen(tmp_path: Path, before: str, after: str) -> None:
    path = put(tmp_path, intent(reason="why"))
    assert patchgen("verify", str(path)).returncode == 0
    patch = path / "scaling-patch.yaml"
    assert before in patch.read_text()
    patch.write_text(patch.read_text().replace(before, after))
    done = patchgen("verify", str(path))
    assert done.returncode == 1
    assert "changed:" in done.stderr


def test_a_package_of_another_form_is_not_called_changed(tmp_path: Path) -> None:
    """What another patchgen would have written cannot be known here: that is exit 2, not 1."""
    path = put(tmp_path, intent())
    patch = path / "scaling-patch.yaml"
    own = patch.read_text()
    for before, after in (
        ('schema-version: "1.0.0"', 'schema-version: "2.0.0"'),
        ('generator: "patchgen/1"', 'generator: "patchgen/2"'),
    ):
        assert before in own
        patch.write_text(own.replace(before, after))
        for done in (patchgen("verify", str(path)), patchgen("undo", str(path), "--to", "1")):
            assert done.returncode == 2
            assert "PATCH089" in done.stderr
    for nonsense in ('schema-version: "2.0"', 'schema-version: "1.0.0\\n"'):
        patch.write_text(own.replace('schema-version: "1.0.0"', nonsense))
        done = patchgen("verify", str(path))
        assert done.returncode == 1
        assert "scaling-patch.yaml differs" in done.stderr
    # What it wants is plain all the same.
    patch.write_text(own.replace("patchgen/1", "patchgen/2"))
    put(tmp_path, intent(replicas=9))
    assert "Deployment default/test" in patchgen("conflicts", str(tmp_path)).stdout


def test_a_package_under_another_name_is_seen(tmp_path: Path) -> None:
    path = put(tmp_path, intent())
    path.rename(tmp_path / "other-scaling-patch-0123456789")
    done = patchgen("verify", str(tmp_path / "other-scaling-patch-0123456789"))
    assert done.returncode == 1
    assert "its name should be" in done.stderr


@pytest.mark.parametrize(
    "content",
    ["", "{", "kind: x", "[1]", "metadata: {name: 1}", "a: &a [*a]", "!!python/object:os.x {}"],
)
def test_what_is_no_package_is_refused_as_such(tmp_path: Path, content: str) -> None:
    (tmp_path / "scaling-patch.yaml").write_text(content)
    done = patchgen("verify", str(tmp_path))
    assert done.returncode == 2
    assert "PATCH080" in done.stderr
    assert patchgen("verify", str(tmp_path / "none")).returncode == 2


def test_undo_makes_the_package_of_the_former_count(tmp_path: Path) -> None:
    path = put(tmp_path, intent(replicas=9, correlation_id="c-1", source="user"))
    unknown = patchgen("undo", str(path))
    assert unknown.returncode == 2
    assert "PATCH082" in unknown.stderr
    # The whole command, to be copied.
    assert f"patchgen undo {path} --to N" in unknown.stderr
    assert f"patchgen undo {path} --base FILE_OR_FOLDER" in unknown.stderr
    base = tmp_path / "base.yaml"
    base.write_text(
        yaml.safe_dump({**base_of(intent()), "spec": {**base_of(intent())["spec"], "replicas": 4}})
    )
    done = patchgen("undo", str(path), "--base", str(base))
    assert done.returncode == 0, done.stderr
    back = read_package(done.stdout.strip())
    assert back.changed == ""
    assert back.intent == intent(
        replicas=4, correlation_id="c-1", source="user", reason=f"undo of {path.name}"
    )
    assert (
        read_package(patchgen("undo", str(path), "--to", "2").stdout.strip()).intent.replicas == 2
    )
    (path / "Kptfile").write_text("changed")
    assert patchgen("undo", str(path), "--to", "2").returncode == 1


def test_diff_shows_what_would_change_and_who_would_change_it_back(tmp_path: Path) -> None:
    path = put(tmp_path / ".", intent())
    base = tmp_path / "manifests"
    base.mkdir()
    (base / "all.yaml").write_text(
        yaml.safe_dump_all([base_of(intent(target="other")), base_of(intent()), HPA])
    )
    done = patchgen("diff", str(path), "--base", str(base))
    assert done.returncode == 1
    changed = [
        line
        for line in done.stdout.splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert changed == ["-  replicas: 101", "+  replicas: 3"]
    assert "HorizontalPodAutoscaler scaler owns this count" in done.stderr
    other = put(tmp_path, intent(replicas=4))
    between = patchgen("diff", str(path), str(other))
    assert "-  replicas: 3" in between.stdout
    assert patchgen("diff", str(path), str(path)).returncode == 0
    (base / "all.yaml").write_text(yaml.safe_dump(base_of(intent(target="other"))))
    missing = patchgen("diff", str(path), "--base", str(base))
    assert "PATCH085" in missing.stderr


def manifests_with_autoscaler(folder: Path) -> Path:
    base = folder / "manifests"
    base.mkdir()
    (base / "all.yaml").write_text(yaml.safe_dump_all([base_of(intent()), HPA]))
    return base


@pytest.mark.parametrize("command", ["validate", "generate"])
def test_with_manifests_an_autoscaler_is_told_before_a_package_is_made(
    tmp_path: Path, command: str
) -> None:
    base, out = manifests_with_autoscaler(tmp_path), tmp_path / "out"
    out.mkdir()
    file = tmp_path / "intent.json"
    words = [command, "-intent", str(file), "-output", str(out)]
    words = ["validate", str(file)] if command == "validate" else words
    who = f"HorizontalPodAutoscaler scaler ({base / 'all.yaml'})"
    file.write_bytes(text_of())
    warned = patchgen(*words, "--base", str(base))
    assert warned.returncode == 0, warned.stderr
    assert "warning PATCH044" in warned.stderr
    assert f"{who} sets the same field" in warned.stderr
    assert len(list(out.iterdir())) == (command == "generate")
    for other in (
        text_of(target="other"),
        text_of(namespace="x"),
        text_of(target_kind="StatefulSet"),
    ):
        file.write_bytes(other)
        silent = patchgen(*words, "--base", str(base))
        assert (silent.returncode, silent.stderr) == (0, "")
    file.write_bytes(text_of(replicas=7))
    there = sorted(out.iterdir())
    strict = patchgen(*words, "--base", str(base), "--strict")
    assert strict.returncode == 1
    assert "an autoscaler owns replicas of test (strict mode)" in strict.stderr
    assert who in strict.stderr
    assert sorted(out.iterdir()) == there
    # Without manifests nobody can tell.
    assert patchgen(*words, "--strict").stderr == ""
    missing = patchgen(*words, "--base", str(tmp_path / "none"))
    assert missing.returncode == 2
    assert "PATCH083" in missing.stderr


def test_an_autoscaler_is_a_warning_for_programs_too(tmp_path: Path) -> None:
    base = manifests_with_autoscaler(tmp_path)
    words = ("validate", "--base", str(base), "--format", "json")
    told = json.loads(patchgen(*words, text=text_of().decode()).stdout)
    assert told["valid"] is True
    [warning] = told["warnings"]
    assert (warning["code"], warning["value"], warning["offset"]) == ("PATCH044", "scaler", -1)


def test_packages_that_fight_are_found(tmp_path: Path) -> None:
    put(tmp_path, intent(replicas=1))
    put(tmp_path, intent(replicas=1, reason="the same count is no fight"))
    put(tmp_path, intent(target="other", replicas=5))
    put(tmp_path, intent(target_kind="StatefulSet", replicas=7))
    quiet = patchgen("conflicts", str(tmp_path))
    assert (quiet.returncode, quiet.stdout) == (0, "no conflicts\n")
    put(tmp_path, intent(replicas=2))
    found = patchgen("conflicts", str(tmp_path), "--format", "json")
    assert found.returncode == 1
    [fight] = json.loads(found.stdout)
    assert fight["target"] == "Deployment default/test"
    assert sorted(fight["counts"].values()) == [1, 1, 2]
    clean = tmp_path / "clean"
    clean.mkdir()
    put(clean, intent())
    (clean / "hpa.yaml").write_text(yaml.safe_dump(HPA))
    assert "scaler owns this count" in patchgen("conflicts", str(clean)).stdout


def test_object_functions_change_copies_only() -> None:
    objects: list[dict[str, Any]] = [
        base_of(intent()),
        HPA,
        {"kind": "Namespace", "metadata": {"name": "n"}},
    ]
    before = copy.deepcopy(objects)
    scaled = krm.set_replicas(objects, intent(replicas=7))
    assert [one.get("spec", {}).get("replicas") for one in scaled] == [7, None, None]
    moved = krm.set_namespace(objects, "prod")
    assert [one["metadata"].get("namespace") for one in moved] == ["prod", "prod", None]
    labelled = krm.set_labels(objects, {"team": "a"})
    assert all(one["metadata"]["labels"]["team"] == "a" for one in labelled)
    assert labelled[0]["spec"] == before[0]["spec"]
    assert krm.validate_objects(scaled[:2]) == scaled[:2]
    assert objects == before
    with pytest.raises(Fault, match="PATCH085"):
        krm.set_replicas(objects, intent(target="absent"))
    with pytest.raises(Fault, match="PATCH086"):
        krm.set_namespace(objects, "No_Name")
    with pytest.raises(Fault, match="PATCH087"):
        krm.validate_objects([{**base_of(intent()), "spec": {"replicas": "3"}}])


def test_a_plain_equals_sign_is_text(tmp_path: Path) -> None:
    """kubectl writes the text `=` without quotes, which PyYAML alone cannot read."""
    assert krm.parse("a: =\n") == {"a": "="}
    (tmp_path / "a.yaml").write_text("kind: ConfigMap\nmetadata: {name: a, annotations: {x: =}}\n")
    [(_, one)] = krm.read_objects(tmp_path)
    assert one["metadata"]["annotations"] == {"x": "="}


def test_library_and_controller_plan_without_writing(tmp_path: Path) -> None:
    planned = PatchPackage(intent(), tmp_path, dry_run=True).generate()
    assert planned == PatchPackage(intent(), tmp_path, dry_run=True).generate()
    assert (planned.state, list(tmp_path.iterdir())) == ("planned", [])
    resource = {
        "apiVersion": "intent.nephoran.com/v1alpha1",
        "kind": "NetworkIntent",
        "metadata": {"name": "test", "namespace": "default"},
        "spec": {"action": "scale", "target": "test", "namespace": "default", "replicas": 3},
    }
    with structlog.testing.capture_logs() as told:
        result = reconcile(resource, tmp_path, structlog.get_logger(), dry_run=True)
    assert result.placed is not None
    assert (result.placed.state, list(tmp_path.iterdir())) == ("planned", [])
    assert [line["event"] for line in told] == ["package planned"]
