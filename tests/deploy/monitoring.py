"""A real Prometheus and a real Alertmanager for tests, on free loopback ports."""

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.queue.receiver import Receiver
from tests.servers.require import absent
from tests.servers.running import Running

from backstay.up.ports import free_port

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
RULES = DEPLOY / "prometheus" / "rules" / "codeq.yml"


def program(name: str) -> str:
    """The path of a monitoring program; absent loudly."""
    found = shutil.which(name)
    if found is None:
        absent(name, "Debian: sudo apt-get install prometheus prometheus-alertmanager")
    return found


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def answers(url: str) -> Callable[[], bool]:
    def look() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    return look


class Prometheus:
    """Scrapes `targets` as job `codeq` and evaluates `rules` every second."""

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str],
        rules: Sequence[Path] = (),
        alertmanager: str = "",
    ) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [{"job_name": "codeq", "static_configs": [{"targets": [*targets]}]}],
        }
        if alertmanager:
            senders = [{"static_configs": [{"targets": [alertmanager]}]}]
            config["alerting"] = {"alertmanagers": senders}
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.running = Running(
            [
                program("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            folder / "prometheus.log",
        )
        self.running.wait_until(answers(f"{self.url}/-/ready"))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression. An HTTPError says that it does not parse."""
        asked = urllib.parse.urlencode({"query": expression})
        found: list[dict[str, Any]] = get(f"{self.url}/api/v1/query?{asked}")["data"]["result"]
        return found

    def firing(self) -> set[str]:
        alerts = get(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def stop(self) -> None:
        self.running.stop()


class Alertmanager:
    """Sends what Prometheus tells it by the given configuration."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(config))
        self.running = Running(
            [
                program("prometheus-alertmanager"),
                f"--config.file={file}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
            ],
            folder / "alertmanager.log",
        )
        self.running.wait_until(answers(f"http://{self.address}/-/ready"))

    def stop(self) -> None:
        self.running.stop()


def paged(receiver: Receiver) -> dict[str, str]:
    """What Alertmanager has sent: the summary of each firing alert by its name."""
    alerts = [alert for call in list(receiver.calls) for alert in call.json["alerts"]]
    return {
        alert["labels"]["alertname"]: alert["annotations"]["summary"]
        for alert in alerts
        if alert["status"] == "firing"
    }
