"""The generated pages hold all that the code declares, and the catalogue of errors is sound."""

import importlib.util
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backstay.systems import guides
from backstay.up.catalogue import known_codes

SCRIPT = Path(__file__).parents[2] / "scripts" / "reference.py"


@pytest.fixture(scope="module")
def reference() -> Any:
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def catalogue(reference: Any) -> dict[str, Any]:
    # Raises when two errors share a code.
    return dict(reference.entries(list(reference.modules())))


def test_the_pages_are_made_without_the_extras(tmp_path: Path) -> None:
    """`make docs` failed in a fresh clone: its environment has no OpenTelemetry."""
    hidden = f"import runpy, sys; sys.modules['opentelemetry'] = None; sys.argv[1:] = [{str(tmp_path)!r}]"
    code = f"{hidden}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "CORE001" in (tmp_path / "errors.md").read_text()


def test_every_declared_error_can_be_explained(catalogue: dict[str, Any]) -> None:
    assert sorted(catalogue) == known_codes()


def test_every_code_belongs_to_a_known_family(reference: Any, catalogue: dict[str, Any]) -> None:
    wrong = [code for code in catalogue if not re.fullmatch(r"[A-Z]+\d{3}", code)]
    assert wrong == []
    assert {code.rstrip("0123456789") for code in catalogue} <= set(reference.FAMILIES)


def test_every_error_says_what_happened_and_what_to_do(catalogue: dict[str, Any]) -> None:
    # A mistake in a program is shown with its line and what was expected there; for some of them
    # that is the whole fix, and the entry explains the rule.
    silent = [
        code
        for code, entry in catalogue.items()
        if not (entry.message and (entry.fix or (code.startswith("LANG") and entry.cause)))
    ]
    assert silent == []


def test_every_template_can_be_filled(catalogue: dict[str, Any]) -> None:
    for entry in catalogue.values():
        for template in (entry.message, entry.cause, entry.fix):
            # Without an opening brace a text is taken as it is.
            parts = string.Formatter().parse(template) if "{" in template else ()
            fields = [name for _, name, _, _ in parts if name is not None]
            assert all(field.isidentifier() for field in fields), entry.code


def test_the_error_page_has_a_section_for_each(reference: Any, catalogue: dict[str, Any]) -> None:
    page = reference.errors_page(catalogue)
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == [
        code for codes in reference._families(catalogue).values() for code in codes
    ]


def test_settings_show_names_and_defaults_but_no_objects(reference: Any) -> None:
    page = reference.settings_page(reference.settings(list(reference.modules())))
    assert (
        "| **log_level**: least level that is logged |  | `LOG_LEVEL` | `logLevel` | `info` |"
        in page
    )
    assert not re.search(r"\bobject at 0x|UnsetType|NODEFAULT|<function", page)


def test_every_console_script_has_its_help(reference: Any) -> None:
    page = reference.commands_page(reference.commands())
    for typed in ("backstay", "backstay up", "codeq", "codeq-server", "codeai"):
        assert re.search(rf"^##+ {re.escape(typed)}$", page, re.MULTILINE), typed


def test_every_guide_is_printed_with_its_causes_and_fixes(reference: Any) -> None:
    page = reference.troubleshooting_page(guides())
    for guide in guides():
        assert f"`backstay doctor --only {guide.id}`" in page
        section = page.split(f"--only {guide.id}`")[1].split("\n## ")[0]
        assert section.count("\n| ") == len(guide.causes) + 1, guide.id
