"""Statements of patchgen's list about judging an intent, by the installed command."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.proofs.intents import (
    PATTERN,
    SEED,
    accepted,
    env,
    intent,
    patchgen,
    python,
    refused,
    without,
)
from tests.conformance.proofs.support import BIN, PATIENCE, shell


@pytest.mark.parametrize("field", ["target", "namespace"])
@pytest.mark.parametrize(
    "name", ["A", "a_b", "-a", "a-", "a.b", "", "a b", "tšst", "аpp", "ａpp", "a\n"]
)
@pytest.mark.seed("P12")
def test_names_are_ascii_and_match_the_pattern(field: str, name: str) -> None:
    told = refused(intent(**{field: name}))
    assert told.startswith("schema validation failed")
    assert PATTERN in told


@pytest.mark.seed("P13")
def test_every_bad_field_is_named_with_its_value() -> None:
    told = refused(intent(target="MyApp_v2", namespace="n" * 70, replicas=101))
    assert "Invalid target name: MyApp_v2" in told
    assert "Namespace too long: 70 chars (max 63)" in told
    assert "Replicas out of range: 101 (must be 0-100)" in told


@pytest.mark.seed("P14")
def test_the_seeds_bad_and_good_name() -> None:
    assert "Invalid target name: MyApp_v2" in refused(intent(target="MyApp_v2"))
    accepted(intent(target="myapp-v2"))


@pytest.mark.parametrize("field", ["intent_type", "namespace"])
@pytest.mark.seed("P15")
def test_a_missing_field_is_named(field: str) -> None:
    assert f"missing required field: {field}" in refused(without(field))


@pytest.mark.seed("P16")
def test_scaling_is_the_only_type() -> None:
    assert "Invalid intent type: scale\n" in refused(intent(intent_type="scale"))
    accepted(intent(intent_type="scaling"))


@pytest.mark.seed("P17")
def test_replicas_from_0_to_100_and_whole() -> None:
    for good in (0, 1, 99, 100):
        accepted(intent(replicas=good))
    for bad in (-1, 101, 1.5, 2**70, "3", None, True, [3]):
        told = refused(intent(replicas=bad))
        assert told.startswith("schema validation failed: replicas "), told


@pytest.mark.parametrize("text", ["", "   ", "{", SEED[:20], SEED[:-1], '{"a', "[1,"])
@pytest.mark.seed("P18")
def test_broken_json_says_so_and_a_cut_off_text_says_that(text: str) -> None:
    told = refused(text)
    assert told.startswith("invalid JSON: unexpected end of JSON input\n")
    assert refused("{]").startswith("invalid JSON: ")


@pytest.mark.seed("P19")
def test_the_caret_stands_under_the_reported_byte() -> None:
    good = '{"intent_type":"scaling","target":"caf\\u00e9","namespace":"default"'
    for text in (good + ' "replicas":3}', '{"é":1 "b":2}', "@", good + ",}" + " " * 30):
        told = refused(text).splitlines()
        position = next(line for line in told if "JSON error at position" in line)
        offset = int(re.findall(r"\d+", position)[0])
        raw = text.encode()
        place = next(index for index, line in enumerate(told) if "Context: ..." in line)
        context, caret = told[place], told[place + 1]
        assert context[caret.index("^")] == raw[offset : offset + 1].decode()
        window = context.partition("Context: ...")[2].removesuffix("...")
        before = context.index("Context: ...") + len("Context: ...")
        assert len(window[: caret.index("^") - before].encode()) <= 20
        assert len(window[caret.index("^") - before :].encode()) <= 20
        assert window in text


@pytest.mark.seed("P20")
def test_a_missing_and_a_trailing_comma_are_called_that() -> None:
    missing = refused('{\n    "intent_type": "scaling"\n    "target": "app"\n}')
    assert "Missing comma" in missing
    assert "line 3, column 5" in missing
    trailing = refused('{\n    "intent_type": "scaling",\n    "target": "app",\n}')
    assert "Trailing comma" in trailing
    assert "Trailing comma" in refused("[1, 2, ]")


@pytest.mark.seed("P31")
def test_a_bad_name_at_generation_time(out: Path) -> None:
    code = (
        "import sys, msgspec\n"
        "from backstay.patchgen.library import PatchPackage\n"
        "from backstay.patchgen.model import Intent\n"
        "made = lambda name: Intent(intent_type='scaling', target=name, namespace='b', replicas=1)\n"
        "good = made('good')\n"
        "msgspec.structs.force_setattr(good, 'target', '../x')\n"
        "for try_ in (lambda: PatchPackage(good, sys.argv[1]), lambda: made('My_App')):\n"
        "    try: try_()\n"
        "    except Exception as e: print(e.message)\n"
    )
    expected = "validation failed: target does not match required pattern"
    assert python(code, str(out)).stdout.splitlines() == [expected] * 2


@pytest.mark.seed("P32")
def test_the_sanitizer_always_gives_a_valid_name() -> None:
    code = (
        "import json, sys\n"
        "from backstay.patchgen.names import sanitize_name\n"
        "print(json.dumps([sanitize_name(n) for n in json.loads(sys.argv[1])]))\n"
    )
    names = ["MyApp_v2", "--a--", "", "___", "a" * 252 + "_" + "b" * 9, "é", "x" * 300]
    told = json.loads(python(code, json.dumps(names)).stdout)
    assert told[:4] == ["myapp-v2", "a", "unnamed", "unnamed"]
    assert told[4:] == ["a" * 252, "unnamed", "x" * 253]
    assert all(re.fullmatch(PATTERN, name) for name in told)


@pytest.mark.seed("P69")
def test_validation_is_bounded(tmp_path: Path) -> None:
    assert patchgen("validate", text=SEED, PATCHGEN_VALIDATION_TIMEOUT="30s").returncode == 0
    bad = patchgen("validate", text=SEED, PATCHGEN_VALIDATION_TIMEOUT="30 apples")
    assert bad.returncode == 2
    assert "PATCHGEN_VALIDATION_TIMEOUT" in bad.stderr
    # Input that never ends is not waited for.
    with subprocess.Popen(
        [BIN / "patchgen", "validate"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        env=env(PATCHGEN_VALIDATION_TIMEOUT="300ms"),
    ) as late:  # fmt: skip
        assert late.stderr is not None
        assert b"validation took longer than 300ms" in late.stderr.read()
    assert late.returncode == 1


@pytest.mark.seed("P70")
def test_strict_mode_refuses_what_else_is_a_warning() -> None:
    for field, value, code in (
        ("colour", "blue", "PATCH040"),
        ("reason", "r" * 513, "PATCH046"),
        ("source", "a stranger", "PATCH047"),
        ("target", "t" * 64, "PATCH043"),
    ):
        text = intent(**{field: value})
        accepted(text)
        for done in (
            patchgen("validate", text=text, PATCHGEN_STRICT_MODE="true"),
            patchgen("validate", "--strict", text=text),
        ):
            assert done.returncode == 1
            assert code in done.stderr
            assert "(strict mode)" in done.stderr
    assert patchgen("validate", text=SEED, PATCHGEN_STRICT_MODE="true").returncode == 0


@pytest.mark.seed("P71")
def test_validate_reads_standard_input() -> None:
    line = f"echo '{SEED}' | patchgen validate"
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, "")
    assert "valid" in done.stdout
    bad = shell('echo \'{"intent_type":"scale"}\' | patchgen validate')
    assert bad.returncode == 1
    assert bad.stdout == ""
    assert "intent_type must be 'scaling'" in bad.stderr


@pytest.mark.seed("P74")
def test_the_three_patterns_match_whole_strings() -> None:
    code = (
        "import json, sys\n"
        "from backstay.patchgen import names as n\n"
        "asks = (n.is_kubernetes_name, n.is_correlation_id, n.is_semantic_version)\n"
        "print(json.dumps([[ask(t) for t in ts] for ask, ts in zip(asks, json.loads(sys.argv[1]))]))\n"
    )
    good = (["a", "a-b", "0"], ["A-b_9"], ["1.2.3", "v1.2.3-rc1"])
    bad = (["a\n", "-a", "A"], ["a b", "a\n", "é", ""], ["1.2", "1.2.3\n", "1.2.3-", "٣.2.1"])
    assert json.loads(python(code, json.dumps(good)).stdout) == [[True] * len(one) for one in good]
    assert json.loads(python(code, json.dumps(bad)).stdout) == [[False] * len(one) for one in bad]
    refused(intent(correlation_id="a b"))
    accepted(intent(correlation_id="A-b_9"))


def test_the_command_starts_without_what_it_does_not_need() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['patchgen', 'validate', '-']\n"
        "from backstay.cli.patchgen import command\n"
        "command.main(standalone_mode=False)\n"
        "print(sorted(m for m in ('yaml', 'structlog', 'rich', 'aiohttp', 'granian', 'uvloop', 'rapidfuzz') if m in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=SEED, capture_output=True, text=True, env=env(),
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
