"""Helm's own engine (its Go library, in a wheel) as a command: `lint CHART`, `template CHART JSON`.

It is run as a process of its own: a Go runtime has no business inside the test runner.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from tests.servers.fixtures import PEERS
from tests.servers.require import absent

CHART = Path(__file__).parents[2] / "helm" / "codeq"
"""The path that a person types."""

Object = dict[str, Any]


class HelmRefusedError(Exception):
    """What Helm said when it did not render."""


def lint(values: Object) -> Object:
    """Helm's findings: `messages` with a severity (1 info, 2 warning, 3 error), and `errors`."""
    done = _run("lint", values)
    found: Object = json.loads(done)
    return found


def template(values: Object, chart: Path = CHART) -> list[Object]:
    """The objects of the rendered chart, after the check against values.schema.json. Raises
    HelmRefusedError with Helm's words."""
    files: dict[str, str] = json.loads(_run("template", values, chart))
    manifests = [text for name, text in files.items() if name.endswith(".yaml")]
    documents = [one for text in manifests for one in yaml.safe_load_all(text)]
    return [one for one in documents if one]


def _run(what: str, values: Object, chart: Path = CHART) -> str:
    try:
        import helm_python  # noqa: F401 - only whether it is there
    except ImportError:
        absent("helm (the wheel helm-python-sdk)", PEERS)
    command = [sys.executable, "-m", "tests.deploy.helm", what, str(chart), json.dumps(values)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    if done.returncode != 0:
        raise HelmRefusedError(done.stdout.strip() or done.stderr.strip()[-2000:])
    return done.stdout


def _main(what: str, chart: str, given: str) -> int:
    import helm_python

    values = json.loads(given)
    try:
        if what == "lint":
            print(json.dumps(helm_python.lint(chart, values, strict=True)))
            return 0
        with helm_python.Chart.load(chart) as loaded:
            loaded.validate_schema(values)
            print(json.dumps(loaded.render(values, name="queue", namespace="work")))
    except helm_python.HelmError as refused:
        print(refused)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
