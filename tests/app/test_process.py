"""Settings, environment, health and probes of the app process."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.app import programs as p
from tests.app.serving import served

from backstay.app.environment import read_environment
from backstay.app.settings import AppSettings
from backstay.core.errors import Fault
from backstay.core.redact import redactor
from backstay.core.settings import Secret
from backstay.lang.program import Env, Integration

_HOLD = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_the_store_is_a_file_in_the_data_folder_or_where_the_url_says() -> None:
    assert AppSettings(data=Path("d")).store() == Path("d/app.db")
    elsewhere = AppSettings(database_url=Secret("sqlite:////var/lib/shop.db"))
    assert elsewhere.store() == Path("/var/lib/shop.db")


def test_another_database_is_refused_in_words_and_without_its_password() -> None:
    settings = AppSettings(database_url=Secret("mysql://ada:hunter2@db/shop"))
    with pytest.raises(Fault) as caught:
        settings.store()
    assert "neither sqlite:// nor postgres://" in caught.value.cause
    assert "hunter2" not in str(caught.value.values)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://ada:hunter2[@db/shop",
        "postgres://ada:hunter2@db:5432x/shop",
        "postgres://ada:hunter2/8@db/shop",
        "postgres://ada:x@db:99999/shop",
    ],
)
def test_an_address_that_no_driver_can_read_is_refused_without_a_piece_of_it(url: str) -> None:
    """It was told as a mistake of our own, with half of the password as its port."""
    with pytest.raises(Fault) as caught:
        AppSettings(database_url=Secret(url)).store()
    assert caught.value.entry.code == "APP076"
    assert "hunter2" not in caught.value.message + caught.value.cause


@pytest.mark.parametrize(
    "place", ["db", "", "db:5432", "[::1]:5432", "a:5432,b:5433", "ada:p%40ss@db:5432", "[::1]"]
)
def test_every_address_that_a_driver_can_read_is_one_of_a_server(place: str) -> None:
    assert AppSettings(database_url=Secret(f"postgres://{place}/shop")).store() is None


def test_all_missing_variables_are_named_in_one_fault() -> None:
    mail = Integration(
        "Mail", Env("MAIL_URL", None, p.STRING), (), Env("MAIL_TOKEN", None, p.STRING)
    )
    shop = p.orders()
    program = p.replace(shop, integrations=(*shop.integrations, mail))
    with pytest.raises(Fault) as caught:
        read_environment(program, {"MAIL_URL": "http://mail"})
    assert caught.value.values["names"] == "MAIL_TOKEN, PAYMENTS_URL"


def test_defaults_hold_the_secret_of_auth_may_be_absent_and_tokens_are_masked() -> None:
    api = Integration(
        "Api", Env("API_URL", "http://default", p.STRING), (), Env("API_TOKEN", None, p.STRING)
    )
    program = p.replace(p.orders(), integrations=(api,))
    values = read_environment(program, {"API_TOKEN": "s3cr3t-of-the-api"})
    assert values == {
        "JWT_SECRET": None,
        "API_URL": "http://default",
        "API_TOKEN": "s3cr3t-of-the-api",
    }
    assert "s3cr3t-of-the-api" not in redactor().redact("it was s3cr3t-of-the-api")


async def test_a_healthy_database_says_so_with_its_pool(tmp_path: Path) -> None:
    async with served(p.orders(), tmp_path) as app:
        finding = await app.health.find()
        assert finding.outcome == "pass"
        assert set(finding.facts) == {"max_connections", "open_connections", "in_use", "idle"}
        probe = await app.health.probe()
        assert probe["reading"] == "ok"
        assert probe["same_inode"] is True
        assert 0 <= float(str(probe["write_seconds"])) < 0.8


async def test_the_pool_counts_connections_at_work(tmp_path: Path) -> None:
    async with served(p.orders(), tmp_path) as app:
        pool = app.runtime.database
        seen = await pool.read(lambda _conn: pool.pool())
        assert seen.in_use == 1
        assert seen.max_connections == 5
        assert pool.pool().in_use == 0


async def test_a_locked_database_is_unhealthy_logged_and_named_by_the_probe(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(p.orders(), tmp_path) as app:
        # From a process of its own: the locks of one process do not hold against itself.
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(tmp_path / "app.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
        finding = await app.health.find()
        probe = await app.health.probe()
        answer = await app.ask(
            "POST", "/admin/seed", raw=b"", headers={"x-seed-id": "while-locked"}
        )
        reading = await app.ask("GET", "/products")
        holder.communicate(b"end")
        assert finding.outcome == "fail"
        assert "locked" in finding.error
        assert finding.facts["code"] == "CORE042"
        assert probe["reading"] == "CORE042"
        assert (answer.status, answer["code"]) == (503, "CORE042")
        assert reading.status == 200
        assert (await app.health.find()).outcome == "pass"
    assert "database ping failed" in capsys.readouterr().out + caplog.text


async def test_a_deleted_or_replaced_file_is_noticed(tmp_path: Path) -> None:
    async with served(p.orders(), tmp_path) as app:
        (tmp_path / "app.db").rename(tmp_path / "away.db")
        assert (await app.health.probe())["reading"] == "gone"
        assert (await app.health.find()).outcome == "fail"
        (tmp_path / "app.db").touch()
        assert (await app.health.probe())["reading"] == "moved"
        (tmp_path / "app.db").unlink()
        (tmp_path / "away.db").rename(tmp_path / "app.db")
        async with asyncio.timeout(5):
            while (await app.health.find()).outcome != "pass":
                await asyncio.sleep(0.05)
