"""Packages as bytes: always the same, readable by every YAML parser, never longer than a label."""

import hashlib
import re

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.patchgen.support import LONG_NAMES, TEXTS, intent, intents

from backstay.patchgen.errors import InvalidIntent, NotValidated
from backstay.patchgen.model import GENERATOR, Intent
from backstay.patchgen.names import is_kubernetes_name, is_package_name, package_name, sanitize_name
from backstay.patchgen.render import FILES, PREFIX, quoted, render


def test_the_bytes_of_this_generator_never_change() -> None:
    """When this fails, packages on people's disks no longer are what their intents make: raise
    `GENERATOR`, and say so in the changelog."""
    package = render(
        intent(reason='a "reason"\nof two lines: é 😀', source="user", correlation_id="c-1")
    )
    whole = hashlib.sha256(b"".join(package.files[name] for name in FILES)).hexdigest()
    assert (GENERATOR, package.name, whole[:16]) == (
        "patchgen/1",
        "test-scaling-patch-65371d0c8c",
        "594aaceff3ce084c",
    )


@given(made=intents())
@settings(max_examples=60, deadline=None)
def test_the_same_intent_gives_the_same_bytes_and_yaml_reads_them_back(made: Intent) -> None:
    package = render(made)
    assert render(msgspec.structs.replace(made)) == package
    assert tuple(package.files) == FILES
    patch = yaml.safe_load(package.files["scaling-patch.yaml"])
    assert patch["kind"] == made.target_kind
    assert patch["metadata"]["name"] == made.target
    assert patch["spec"] == {"replicas": made.replicas}
    marks = patch["metadata"]["annotations"]
    assert marks.get(f"{PREFIX}/reason", "") == made.reason
    assert marks.get(f"{PREFIX}/source", "") == made.source
    assert marks[f"{PREFIX}/intent-hash"] == f"sha256:{made.hash}"
    component = yaml.safe_load(package.files["component/kustomization.yaml"])
    assert yaml.safe_load(component["patches"][0]["patch"]) == patch
    kptfile = yaml.safe_load(package.files["Kptfile"])
    assert kptfile["metadata"]["name"] == package.name


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_a_quoted_text_is_one_line_and_comes_back(text: str) -> None:
    line = quoted(text)
    assert len(f"{line}x".splitlines()) == 1
    assert yaml.safe_load(f"key: {line}\n") == {"key": text}


@given(target=LONG_NAMES, hash_=st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
def test_a_package_name_fits_a_label_and_tells_targets_apart(target: str, hash_: str) -> None:
    name = package_name(target, hash_)
    assert len(name) <= 63
    assert is_kubernetes_name(name)
    assert is_package_name(name)
    assert name.endswith(f"-scaling-patch-{hash_[:10]}")
    if len(target) <= 38:
        assert name.startswith(f"{target}-scaling")


def test_a_cut_name_does_not_end_its_target_with_a_hyphen() -> None:
    assert (
        package_name("a" * 37 + "-" + "b" * 20, "0" * 64) == "a" * 37 + "-scaling-patch-0000000000"
    )


@given(text=st.text(max_size=300))
def test_a_sanitized_name_is_a_name(text: str) -> None:
    name = sanitize_name(text)
    assert is_kubernetes_name(name)
    assert len(name) <= 253


def test_every_field_is_in_the_hash() -> None:
    changes = (
        {}, {"target": "b"}, {"namespace": "b"}, {"replicas": 4}, {"target_kind": "StatefulSet"},
        {"reason": "r"}, {"source": "r"}, {"correlation_id": "r"},
    )  # fmt: skip
    assert len({intent(**change).hash for change in changes}) == len(changes)


def test_nothing_of_a_clock_is_in_a_package() -> None:
    package = render(intent())
    for content in package.files.values():
        assert not re.search(rb"20\d\d-\d\d|generated-at", content)


def test_a_reason_becomes_no_markup_and_no_key() -> None:
    reason = "x\n```\n<script>\n# title\nspec:\n  replicas: 99"
    package = render(intent(reason=reason))
    readme = package.files["README.md"].decode()
    for line in reason.splitlines()[1:]:
        assert f"\n    {line}\n" in readme
    assert yaml.safe_load(package.files["scaling-patch.yaml"])["spec"]["replicas"] == 3


def test_what_was_changed_after_validation_is_refused() -> None:
    made = intent()
    msgspec.structs.force_setattr(made, "namespace", "../../etc")
    with pytest.raises(InvalidIntent, match="namespace does not match required pattern"):
        render(made)
    with pytest.raises(NotValidated):
        render({"target": "a"})  # type: ignore[arg-type]
