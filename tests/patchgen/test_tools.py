"""Packages in the hands of those who consume them: kustomize, kubectl, kpt, the Kubernetes schemas."""

import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.patchgen.support import BIN, NAMES, intent, intents, writer
from tests.servers.require import absent
from yamllint import linter
from yamllint.config import YamlLintConfig

from backstay.patchgen import krm
from backstay.patchgen.model import Intent
from backstay.patchgen.packages import verify
from backstay.patchgen.render import render

# Lines as long as a reason is, and no `---`, which kpt would take away; the rest by default.
LINT = YamlLintConfig(
    "extends: default\nrules:\n  line-length: disable\n  document-start: disable\n"
)
FROM = {
    "kubectl": "it comes with make test's own wheels",
    "kpt": "from kpt.dev; no package of it is known",
}
MANY = 100
WANTED = 1000
ABOVE = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: above\n"


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(BIN))
    if found is None:
        absent(name, FROM[name])
    return found


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}{done.stdout}"
    return done.stdout


def base_of(made: Intent) -> dict[str, Any]:
    """A workload as it is on a cluster, with another count."""
    labels = {"app": "x"}
    spec: dict[str, Any] = {
        "replicas": 101,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}]},
        },
    }
    if made.target_kind == "StatefulSet":
        spec["serviceName"] = "x"
    return {
        "apiVersion": "apps/v1",
        "kind": made.target_kind,
        "metadata": {"name": made.target, "namespace": made.namespace},
        "spec": spec,
    }


def place(folder: Path, made: Sequence[Intent]) -> list[Path]:
    """The packages, and beside them `base` and `overlay` for all of them."""
    placed = writer(folder).place([render(one) for one in made])
    paths = [one.path for one in placed]  # type: ignore[union-attr]
    base, overlay = folder / "base", folder / "overlay"
    base.mkdir()
    overlay.mkdir()
    # As JSON: PyYAML writes names such as `n` or `y` in a way that Go reads as booleans.
    (base / "all.yaml").write_text("\n---\n".join(json.dumps(base_of(one)) for one in made))
    (base / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    over = {"resources": ["../base"], "components": [f"../{path.name}/component" for path in paths]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(over))
    return paths


def parsed(text: str) -> list[dict[str, Any]]:
    return [krm.parse(document) for document in text.split("\n---\n")]


def check_counts(objects: Sequence[dict[str, Any]], made: Sequence[Intent]) -> None:
    found = {
        (one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"][
            "replicas"
        ]
        for one in objects
    }
    assert found == {(one.target_kind, one.namespace, one.target): one.replicas for one in made}


def check_all(folder: Path, made: Sequence[Intent]) -> list[Path]:
    """Every consumer takes every one of these packages. Their targets must differ."""
    kubectl = tool("kubectl")
    paths = place(folder, made)
    alone = folder / "alone"
    alone.mkdir()
    (alone / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": [f"../{path.name}" for path in paths]})
    )
    check_counts(parsed(run(kubectl, "kustomize", alone)), made)
    merged = parsed(run(kubectl, "kustomize", folder / "overlay"))
    check_counts(merged, made)
    for one in merged:
        kubernetes_validate.validate(one, "1.33", strict=True)
    krm.validate_objects(merged)
    for path in paths:
        for file in (path / "Kptfile", *path.rglob("*.yaml")):
            problems = list(linter.run(file.read_text(), LINT))
            assert not problems, (file, problems)
    return paths


def distinct(made: Sequence[Intent]) -> list[Intent]:
    return list({(one.target_kind, one.namespace, one.target): one for one in made}.values())


@pytest.mark.peer
@given(made=st.lists(intents(NAMES), min_size=MANY, max_size=MANY).map(distinct))
@settings(
    max_examples=1, deadline=None, phases=(Phase.generate,), derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_a_hundred_packages_are_taken_by_kustomize_and_the_schemas(
    tmp_path_factory: pytest.TempPathFactory, made: list[Intent]
) -> None:
    check_all(tmp_path_factory.mktemp("many"), made)


class Taken(Counter[str]):
    """How many packages each tool took."""

    def kustomize(self, folder: Path, made: Sequence[Intent]) -> list[Path]:
        """All in one call, alone and merged; kubernetes-validate judges what was merged."""
        paths = check_all(folder, made)
        self.update(dict.fromkeys(("kustomize", "kubernetes-validate", "yamllint"), len(made)))
        return paths

    def patch(self, folder: Path, made: Sequence[Intent], paths: Sequence[Path]) -> None:
        """`kubectl patch` takes one patch a call."""
        kubectl = tool("kubectl")

        def one(index: int) -> None:
            base = folder / f"{index}.json"
            base.write_text(json.dumps(base_of(made[index])))
            check_patched(kubectl, base, paths[index], made[index])

        with ThreadPoolExecutor(2) as pool:
            self["patch"] += len(list(pool.map(one, range(len(made)))))

    def kpt(self, kpt: str, folder: Path, paths: Sequence[Path]) -> None:
        """One package above all of them; rendered, each still is what it was."""
        folder.mkdir()
        (folder / "Kptfile").write_text(ABOVE)
        for path in paths:
            shutil.copytree(path, folder / path.name)
        tree = run(kpt, "pkg", "tree", folder)
        self["kpt pkg tree"] += sum(f"Kptfile {path.name}\n" in tree for path in paths)
        run(kpt, "fn", "render", folder)
        for path in paths:
            verify(folder / path.name)
            self["kpt fn render"] += 1


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.timeout(900)
def test_a_thousand_packages_are_taken_by_every_tool(
    tmp_path: Path, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounds until each tool has taken as many different ones, however long that is; 75 s of CPU."""
    taken, known = Taken(), set[str]()
    kpt = shutil.which("kpt")
    wanted = ["kustomize", "kubernetes-validate", "yamllint", "patch"]
    wanted += ["kpt pkg tree", "kpt fn render"] if kpt else []

    @seed(chance.getrandbits(64))
    @given(made=st.lists(intents(NAMES), min_size=MANY, max_size=MANY).map(distinct))
    @settings(
        max_examples=2 * WANTED // MANY, deadline=None, phases=(Phase.generate,), database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def one_round(made: list[Intent]) -> None:
        made = [one for one in made if render(one).name not in known]
        if min(taken[name] for name in wanted) >= WANTED or not made:
            return
        folder = tmp_path / str(len(known))
        folder.mkdir()
        known.update(render(one).name for one in made)
        paths = taken.kustomize(folder, made)
        taken.patch(folder, made, paths)
        if kpt:
            taken.kpt(kpt, folder / "kpt", paths)

    one_round()
    with capsys.disabled():
        print(f"\npackages taken: {dict(taken)}{'' if kpt else '; kpt is not installed'}")
    assert {name: taken[name] >= WANTED for name in wanted} == dict.fromkeys(wanted, True)


def one_by_one(folder: Path, made: Intent) -> None:
    kubectl = tool("kubectl")
    [path] = place(folder, [made])
    check_counts(parsed(run(kubectl, "kustomize", path)), [made])
    check_patched(kubectl, folder / "base" / "all.yaml", path, made)


def check_patched(kubectl: str, base: Path, path: Path, made: Intent) -> None:
    merged = json.loads(
        run(
            kubectl, "patch", "--local", "-f", base, "--type=strategic",
            "--patch-file", path / "scaling-patch.yaml", "-o", "json",
        )
    )  # fmt: skip
    check_counts([merged], [made])
    assert merged["spec"]["template"] == base_of(made)["spec"]["template"]


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize("replicas", [0, 1, 100])
def test_kubectl_patch_changes_the_count_and_nothing_else(
    tmp_path: Path, kind: str, replicas: int
) -> None:
    made = intent(target_kind=kind, replicas=replicas, reason='x: "y"\n--- &a *b {{ }}\u2028😀')
    one_by_one(tmp_path, made)


@pytest.mark.peer
def test_a_target_that_is_not_in_the_base_is_an_error_not_a_silence(tmp_path: Path) -> None:
    kubectl = tool("kubectl")
    place(tmp_path, [intent()])
    other = base_of(intent(target="other"))
    (tmp_path / "base" / "all.yaml").write_text(yaml.safe_dump(other))
    done = subprocess.run(
        [kubectl, "kustomize", tmp_path / "overlay"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "test" in done.stderr


@pytest.mark.peer
def test_kpt_takes_packages(tmp_path: Path) -> None:
    kpt = tool("kpt")
    reasons = (
        'é: "x"\nsecond', "😀 \U00010000", "a\u2028b\u2029c", "\u00a0\u200b\u3000 \\ <>&", "\t x \n\n",
        "word " * 60, "\ue000\ufffd ' # : - ? | >",
    )  # fmt: skip
    made = [intent(target=f"app-{n}", reason=reason) for n, reason in enumerate(reasons)]
    for path in place(tmp_path, made):
        tree = run(kpt, "pkg", "tree", path)
        assert f"Kptfile {path.name}" in tree
        assert "[scaling-patch.yaml]  Deployment default/" in tree
        run(kpt, "fn", "render", path)
        # Rendered, it still is what it was, byte for byte.
        verify(path)
