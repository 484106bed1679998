"""Validation: two passes with one answer, the published schema, and what was decided at the edges."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.patchgen.support import SEED, intents, text_of

from backstay.patchgen import validate as module
from backstay.patchgen.errors import InvalidIntent
from backstay.patchgen.model import DEPTH_LIMIT, SIZE_LIMIT, Constraints, Intent
from backstay.patchgen.scan import BrokenError, scan
from backstay.patchgen.schema import schema_text
from backstay.patchgen.validate import validate

PUBLISHED = json.loads(schema_text())
SCHEMA = jsonschema_rs.Draft202012Validator(PUBLISHED)
STRICT = jsonschema_rs.Draft202012Validator(
    {"$ref": f"{PUBLISHED['$id']}#/$defs/strict"},
    registry=jsonschema_rs.Registry([(PUBLISHED["$id"], PUBLISHED)]),
)
ACROSS = {"PATCH033", "PATCH034", "PATCH035"}
"""Rules over two fields: JSON Schema cannot state them."""

VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 104)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["scaling", "scale", "test", "default", "Deployment", "StatefulSet", "user", "", "a" * 64,
         "a" * 254, "-a", "a\n", "é", "a b", "x" * 513, "x" * 4097, "a\x00b", "\ufeffa", "ok-1", "completed"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["min_replicas", "max_replicas", "allowed_namespaces", "other"]), inner,
        max_size=3,
    ),
    max_leaves=6,
)  # fmt: skip
FIELDS = [
    *("intent_type", "target", "namespace", "replicas", "target_kind", "reason", "source"),
    *("correlation_id", "constraints", "priority", "created_at", "status", "target_resources"),
    *("description", "nephio_context", "unknown"),
]
CHANGES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4)
REMOVED = st.sets(st.sampled_from(list(SEED)), max_size=1)


@given(changes=CHANGES, removed=REMOVED)
@settings(max_examples=200, deadline=None)
def test_the_published_schema_and_the_decoder_agree(
    changes: dict[str, Any], removed: set[str]
) -> None:
    document = {name: value for name, value in {**SEED, **changes}.items() if name not in removed}
    for strict, schema in ((False, SCHEMA), (True, STRICT)):
        report = validate(json.dumps(document).encode(), strict=strict)
        # A spelling (3.0) is not visible to a schema, and neither is one field beside another.
        codes = {one.code for one in report.errors} - ACROSS - {"PATCH042"}
        assert (not codes) == schema.is_valid(document), (strict, document, codes)


def test_the_schema_is_one() -> None:
    document = json.loads(schema_text())
    assert jsonschema_rs.meta.is_valid(document)
    assert document["$schema"].endswith("2020-12/schema")
    assert document["$id"].endswith(document["version"])


@given(made=intents())
@settings(max_examples=100, deadline=None)
def test_what_is_made_by_hand_survives_being_written_and_read(made: Intent) -> None:
    told = {
        name: value
        for name in made.__struct_fields__
        if (value := getattr(made, name)) or name == "replicas"
    }
    told["constraints"] = json.loads(msgspec.json.encode(made.constraints))
    report = validate(json.dumps(told).encode())
    assert report.intent == made
    assert report.intent.hash == made.hash


DOCUMENTS = st.builds(
    lambda members, gap: "{" + ",".join(f'"{k}"{gap}:{gap}{v}' for k, v in members) + "}",
    st.lists(
        st.tuples(
            st.sampled_from([*SEED, "reason", "source", "x", "target_kind"]),
            st.sampled_from(
                ['"scaling"', '"a"', '"replicas"', '"Deployment"', "3", "3.0", "1e1", "{}", "[]",
                 '"\\u0061"', "null", "101", '""', "-0", "true"]
            ),
        ),
        min_size=3,
        max_size=7,
    ).map(lambda extra: [(k, json.dumps(v)) for k, v in SEED.items()][len(extra) % 2 :] + extra[3:]),
    st.sampled_from(["", " ", "\n"]),
)  # fmt: skip


@given(text=DOCUMENTS)
@settings(max_examples=300, deadline=None)
def test_the_fast_pass_never_says_what_the_slow_one_would_not(text: str) -> None:
    fast = module._fast(text.encode())
    slow = module._slow(text.encode(), strict=False)
    if fast is not None:
        assert (slow.intent, slow.warnings) == (fast, ()), text


def test_the_fast_pass_is_what_ordinary_intents_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_slow", None)
    for text in (
        text_of(),
        text_of(reason="peak: 9 o'clock", source="user", correlation_id="c-1"),
        json.dumps({**SEED, "replicas": 100}, indent=2).encode(),
        json.dumps(SEED, separators=(",", ":")).encode(),
    ):
        assert validate(text).intent is not None


@pytest.mark.parametrize(
    ("text", "code", "offset"),
    [
        (b'{"a":1 "b":2}', "PATCH010", 7),
        (b'{"a":1,}', "PATCH010", 7),
        (b'\xef\xbb\xbf{"a":1,}', "PATCH010", 10),
        ('{"é":1,}'.encode(), "PATCH010", 8),
        (b'{"a":nan}', "PATCH010", 5),
        (b"{'a':1}", "PATCH010", 1),
        (b'{"a":01}', "PATCH010", 6),
        (b'{"a":"\\x"}', "PATCH010", 7),
        (b'{"a":"\\ud800"}', "PATCH010", 6),
        (b'{"a":"\x01"}', "PATCH010", 6),
        (b'{"a":1}{"a":1}', "PATCH010", 7),
        (b"\xff\xfe{\x00}\x00", "PATCH010", 0),
        (b'{"a":"\xe9"}', "PATCH010", 6),
        (text_of() + b" x", "PATCH010", len(text_of()) + 1),
        (text_of().replace(b"}", b',"target":"b"}'), "PATCH011", len(text_of())),
        (b"[" * (DEPTH_LIMIT + 1), "PATCH010", DEPTH_LIMIT),
        (b"[" * 500_000, "PATCH010", DEPTH_LIMIT),
        (b" " * (SIZE_LIMIT + 1), "PATCH012", 0),
        (b"[]", "PATCH020", 0),
        (b"null", "PATCH020", 0),
    ],
)
def test_what_is_refused_and_where(text: bytes, code: str, offset: int) -> None:
    report = validate(text)
    assert report.intent is None
    assert (report.errors[0].code, report.errors[0].offset) == (code, offset), report.errors[0]


@pytest.mark.parametrize(
    ("text", "replicas", "warned"),
    [
        (text_of(replicas=0), 0, []),
        (text_of().replace(b" 3", b" 3.0"), 3, ["PATCH042"]),
        (text_of().replace(b" 3", b" 1e1"), 10, ["PATCH042"]),
        (text_of().replace(b" 3", b" -0"), 0, []),
        (b"\xef\xbb\xbf" + text_of(), 3, ["PATCH041"]),
        (b" \t\r\n" + text_of() + b"\n\n", 3, []),
        (text_of(colour="blue"), 3, ["PATCH040"]),
        (text_of(target="t" * 64), 3, ["PATCH043"]),
    ],
)
def test_what_is_taken_and_noted(text: bytes, replicas: int, warned: list[str]) -> None:
    report = validate(text)
    assert report.intent is not None, report.message
    assert report.intent.replicas == replicas
    assert [one.code for one in report.warnings] == warned
    assert (validate(text, strict=True).intent is None) == bool(warned)


@pytest.mark.parametrize(
    "number", ["1e400", "9" * 400, "1" + "0" * 400_000, "-1e999999999", "101", "1e2147483648"]
)
def test_a_huge_number_is_out_of_range_at_once(number: str) -> None:
    report = validate(text_of().replace(b" 3", f" {number}".encode()))
    assert [one.code for one in report.errors] == ["PATCH026"]
    assert len(report.message) < 400


def test_all_mistakes_are_told_at_once_with_their_places() -> None:
    text = b'{\n  "intent_type": "x",\n  "target": "A_b",\n  "replicas": 1.5,\n  "reason": 7\n}'
    report = validate(text)
    found = {one.pointer: (one.code, one.line, one.column) for one in report.errors}
    assert found == {
        "/namespace": ("PATCH021", 1, 1),
        "/intent_type": ("PATCH023", 2, 18),
        "/target": ("PATCH024", 3, 13),
        "/replicas": ("PATCH027", 4, 15),
        "/reason": ("PATCH022", 5, 13),
    }


def test_a_pointer_escapes_what_pointers_must() -> None:
    node, _ = scan('{"a/b~c": [0, {"x": 1}]}')
    assert node.members["a/b~c"].items[1].members["x"].pointer == "/a~1b~0c/1/x"


@given(text=st.text(st.sampled_from('{}[]:,"\\ 0123456789eE+-.tfnu\n\x01éx'), max_size=40))
@settings(max_examples=500, deadline=None)
def test_the_scanner_takes_exactly_what_is_json(text: str) -> None:
    try:
        theirs: Any = json.loads(text, parse_constant=lambda _: (_ for _ in ()).throw(ValueError()))
        good = "\\ud" not in text.lower()
    except ValueError:
        theirs, good = None, False
    try:
        node, twice = scan(text)
    except BrokenError as failed:
        broken = failed
    else:
        broken = None
    if broken is not None:
        assert not good or "surrogate" in broken.reason, text
        assert 0 <= broken.start <= len(text)
        return
    assert good, text
    if not twice:
        assert _plain(node) == theirs


def _plain(node: Any) -> Any:
    if node.sort == "object":
        return {key: _plain(own) for key, own in node.members.items()}
    if node.sort == "array":
        return [_plain(own) for own in node.items]
    return json.loads(node.value) if node.sort == "number" else node.value


@given(data=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_bytes_make_it_fall_over(data: bytes) -> None:
    report = validate(data)
    assert (report.intent is None) == bool(report.errors)
    for one in report.errors:
        assert 0 <= one.offset <= len(data)
        assert one.message
        assert one.remedy


def test_the_bounds_of_the_intent_itself_are_held() -> None:
    bounds = {"min_replicas": 2, "max_replicas": 5, "allowed_namespaces": ["default", "prod"]}
    assert validate(text_of(constraints=bounds)).intent is not None
    for changes, code in (
        ({"replicas": 1}, "PATCH033"),
        ({"replicas": 6}, "PATCH033"),
        ({"namespace": "other"}, "PATCH034"),
        ({"constraints": {"min_replicas": 5, "max_replicas": 2}}, "PATCH035"),
    ):
        report = validate(text_of(**{"constraints": bounds, **changes}))
        assert [one.code for one in report.errors] == [code]


OLDER = {
    "scaling-document": (
        {"id": "a-1", "resource_name": "amf", "namespace": "core", "target_scale": 4, "reason": "peak hours"},
        {"target": "amf", "namespace": "core", "replicas": 4, "reason": "peak hours", "correlation_id": "a-1"},
    ),
    "scaling-intent": (
        {"apiVersion": "nephoran.io/v1", "kind": "ScalingIntent", "metadata": {"name": "amf", "namespace": "core"},
         "spec": {"replicas": 4}},
        {"target": "amf", "namespace": "core", "replicas": 4},
    ),
    "network-intent": (
        {"apiVersion": "intent.nephoran.com/v1alpha1", "kind": "NetworkIntent", "metadata": {"name": "x"},
         "spec": {"source": "user", "intentType": "scaling", "target": "amf", "namespace": "core", "replicas": 4}},
        {"target": "amf", "namespace": "core", "replicas": 4, "source": "user"},
    ),
    "intent-plan": (
        {"intentId": "intent-20260101-0001", "intentType": "slice.scale",
         "actions": [{"kind": "scale", "component": "amf", "replicas": 4}],
         "constraints": {"maxReplicas": 5, "allowedNamespaces": ["core"]}, "metadata": {"source": "cli"}},
        {"target": "amf", "namespace": "core", "replicas": 4, "source": "cli",
         "correlation_id": "intent-20260101-0001",
         "constraints": Constraints(max_replicas=5, allowed_namespaces=("core",))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", list(OLDER))
def test_the_four_older_shapes(shape: str) -> None:
    document, expected = OLDER[shape]
    report = validate(json.dumps(document).encode())
    assert report.intent == Intent(intent_type="scaling", **expected), report.message  # type: ignore[arg-type]
    assert report.shape == shape
    assert [one.code for one in report.warnings] == ["PATCH045"]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"resource_name": "amf", "namespace": "core", "target_scale": 400}, "/target_scale"),
        ({"apiVersion": "a/v1", "kind": "ScalingIntent", "spec": {"target": {"name": "A"}, "replicas": 1,
          "namespace": "b"}}, "/spec/target/name"),
        ({"apiVersion": "a/v1", "kind": "NetworkIntent", "spec": {"action": "deploy"}}, "/spec/action"),
        ({"apiVersion": "a/v1", "kind": "NetworkIntent", "spec": {"intent": "scale it up"}}, "/spec/intent"),
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, "/kind"),
        ({"intentId": "i", "actions": []}, "/actions"),
        ({"intentId": "i", "actions": [{"kind": "scale"}, {"kind": "scale"}]}, "/actions"),
        ({"intentId": "i", "actions": [{"kind": "deploy"}]}, "/actions/0/kind"),
        ({"intentId": "i", "actions": "x"}, "/actions"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_older_shape_points_at_what_was_written(
    document: Any, pointer: str
) -> None:
    report = validate(json.dumps(document).encode())
    assert pointer in [one.pointer for one in report.errors], report.errors


def test_an_autoscaled_target_is_noted() -> None:
    document = {
        "apiVersion": "intent.nephoran.com/v1alpha1",
        "kind": "NetworkIntent",
        "spec": {
            "target": "amf", "namespace": "core", "replicas": 4,
            "scalingParameters": {"autoscalingPolicy": {"minReplicas": 1, "maxReplicas": 9}},
        },
    }  # fmt: skip
    report = validate(json.dumps(document).encode())
    assert "PATCH044" in [one.code for one in report.warnings]


@pytest.mark.parametrize(
    "changes",
    [
        {"target": 7}, {"namespace": None}, {"replicas": True}, {"replicas": 3.0}, {"replicas": "3"},
        {"reason": "a\x00"}, {"reason": "\ud800"}, {"reason": "a\ufeff"}, {"source": 3}, {"correlation_id": "a b"},
        {"target_kind": "Pod"}, {"intent_type": "scale"}, {"target": "a" * 254}, {"namespace": "n" * 64},
        {"constraints": Constraints(max_replicas=1)}, {"constraints": Constraints(min_replicas="1")},  # type: ignore[arg-type]
        {"constraints": Constraints(allowed_namespaces=("x",))}, {"target": "app\n"}, {"target": "ａpp"},
    ],
)  # fmt: skip
def test_nothing_unsound_can_be_made_by_hand(changes: dict[str, Any]) -> None:
    with pytest.raises((InvalidIntent, TypeError)) as refused:
        Intent(**{**SEED, **changes})
    assert "validation failed" in str(refused.value)
