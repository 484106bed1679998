"""One event is one line with the same keys everywhere, redacted, at the level that was asked for."""

import asyncio
import json
import logging
import re
import subprocess
import sys

import pytest
import structlog

from backstay.core.breaker import Breaker, BreakerSettings
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.logs import LogSettings, configure, debugs, request_debug
from backstay.core.settings import Given, Secret, load
from backstay.core.virtual import VirtualClock


@pytest.fixture(autouse=True)
def _own_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level


class Log:
    def __init__(self, path):
        self.path = path

    def start(self, **settings):
        configure(LogSettings(log_output=str(self.path), **settings), "queue", VirtualClock())
        return structlog.get_logger("queue.api")

    @property
    def text(self):
        return self.path.read_text()

    @property
    def lines(self):
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "app.log")


def test_a_json_line_has_the_keys_of_decision_13(log):
    log.start().info("http request", status=200, duration=12.5, method="GET")
    assert log.lines == [
        {
            "ts": "2025-06-15T15:06:40.000000Z",
            "level": "info",
            "msg": "http request",
            "service": "queue",
            "logger": "queue.api",
            "status": 200,
            "duration": 12.5,
            "method": "GET",
        }
    ]


def test_text_puts_the_breaker_change_in_one_run_of_words(log):
    log.start(log_format="text")
    clock = VirtualClock()
    breaker = Breaker("payments", clock, BreakerSettings(failure_threshold=1))
    breaker.fail(breaker.admit(), "connection refused")
    assert "info circuit breaker state changed from=closed to=open target=payments" in log.text


def test_text_quotes_only_values_that_need_it(log):
    log.start(log_format="text").warning("odd values", a="x y", b=None, c='say "hi"', d=[1], e="")
    assert r'odd values a="x y" b=null c="say \"hi\"" d="[1]" e="" service=queue' in log.text


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_value_of_somebody_else_does_nothing_to_the_terminal(log, form):
    hostile = "\x1b[31m\x9b31m\u202e\u2028é"
    log.start(log_format=form).warning("task failed", error=hostile)
    log.start(log_format=form).warning("task failed", error="\x9bm")  # quoted by nothing else
    assert not {"\x1b", "\x9b", "\u202e", "\u2028"} & set(log.text)
    if form == "json":
        assert log.lines[0]["error"] == hostile


@pytest.mark.parametrize(
    ("level", "passes"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels_filter_as_named(log, level, passes):
    logger = log.start(log_level=level)
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
    assert [line["level"] for line in log.lines] == passes


async def test_debug_of_one_request_does_not_leak_into_another(log):
    logger = log.start(log_level="info")
    both = asyncio.Barrier(2)

    async def request(name, on):
        with request_debug(on=on):
            await both.wait()
            logger.debug("inside", request=name)
            await both.wait()

    await asyncio.gather(request("loud", True), request("quiet", False))
    logger.debug("outside")
    assert [line["request"] for line in log.lines] == ["loud"]


def test_what_is_bound_to_the_request_is_on_every_line(log):
    logger = log.start()
    with structlog.contextvars.bound_contextvars(request_id="trace-123"):
        logger.info("one")
        logging.getLogger("some.library").warning("two")
    logger.info("three")
    assert [line.get("request_id") for line in log.lines] == ["trace-123", "trace-123", None]
    assert log.lines[1]["logger"] == "some.library"


def test_secrets_do_not_reach_the_log(log):
    Secret("swordfish-1")
    logger = log.start()
    logger.info(
        "connected with swordfish-1",
        url="redis://:pw12@cache",
        password="p",
        nested={"api_key": "k", "list": ["swordfish-1"]},
        secret=Secret("other-one"),
    )
    try:
        raise RuntimeError("refused swordfish-1")
    except RuntimeError:
        logger.exception("failed")
    assert not re.search(r'swordfish|pw12|other-one|"p"|"k"', log.text)
    assert "RuntimeError: refused ****" in log.lines[1]["exception"]


def test_source_is_the_callers_line(log):
    logger = log.start(log_add_source=True)
    logger.info("here")
    logging.getLogger("lib").error("there")
    assert all(re.fullmatch(r"test_logs\.py:\d+", line["source"]) for line in log.lines)


def test_the_file_is_appended_to_and_survives_rotation(log, tmp_path):
    log.path.write_text('{"old": 1}\n')
    logger = log.start()
    logger.info("before")
    log.path.rename(tmp_path / "app.log.1")
    logger.info("after")
    assert [line.get("msg") for line in log.lines] == ["after"]
    assert '"old"' in (tmp_path / "app.log.1").read_text()
    assert "before" in (tmp_path / "app.log.1").read_text()


def test_an_output_that_cannot_be_opened_is_a_named_error(tmp_path):
    with pytest.raises(Fault) as caught:
        configure(LogSettings(log_output=str(tmp_path / "no" / "app.log")), "queue")
    assert caught.value.entry.code == "CORE002"
    assert "no/app.log" in caught.value.message


def test_a_value_that_takes_the_name_of_a_fixed_key_is_kept_beside_it(log):
    log.start().info("event sent", event="order.paid", level=3)
    assert log.lines[0]["msg"] == "event sent"
    assert (log.lines[0]["event_"], log.lines[0]["level_"]) == ("order.paid", 3)


def test_any_value_can_be_logged(log):
    log.start().info("odd", who=Principal("user", sub="u"), path=log.path, fault=ValueError("x"))
    assert log.lines[0]["who"]["sub"] == "u"
    assert log.lines[0]["fault"] == "x"


def test_bound_loggers_carry_their_values(log):
    log.start().bind(target="payments").info("called", status=1)
    assert (log.lines[0]["target"], log.lines[0]["status"]) == ("payments", 1)


def test_the_settings_come_from_the_four_variables():
    env = {
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "text",
        "LOG_OUTPUT": "stderr",
        "LOG_ADD_SOURCE": "true",
    }
    assert load(LogSettings, Given(env=env)).settings == LogSettings(
        log_level="debug", log_format="text", log_output="stderr", log_add_source=True
    )


async def test_lines_of_one_turn_are_written_together_and_in_order(log):
    logger = log.start()
    logger.info("first")
    logger.info("second")
    assert log.text == ""
    await asyncio.sleep(0)
    assert [line["msg"] for line in log.lines] == ["first", "second"]
    logger.info("third")
    logger.warning("fourth")
    # What a person looks for after a crash does not wait, and does not overtake.
    assert [line["msg"] for line in log.lines][2:] == ["third", "fourth"]


async def test_more_than_a_pipe_takes_at_once_does_not_wait_for_the_turn(log):
    logger = log.start()
    for n in range(100):
        logger.info("line", n=n)
    assert [line["n"] for line in log.lines] == list(range(len(log.lines)))
    assert len(log.lines) > 50
    await asyncio.sleep(0)
    assert len(log.lines) == 100


def test_a_normal_end_of_the_process_loses_no_line(tmp_path):
    path = tmp_path / "end.log"
    program = (
        "import asyncio, structlog\n"
        "from backstay.core.logs import LogSettings, configure\n"
        f"configure(LogSettings(log_output={str(path)!r}), 'x')\n"
        "async def main():\n"
        "    structlog.get_logger('x').info('the last words')\n"
        "    asyncio.get_running_loop().stop()\n"
        "loop = asyncio.new_event_loop()\n"
        "task = loop.create_task(main())\n"
        "loop.run_forever()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert json.loads(path.read_text())["msg"] == "the last words"


def test_lines_of_threads_are_whole(log):
    logger = log.start()

    async def many():
        await asyncio.gather(
            *(asyncio.to_thread(lambda: [logger.info("t", n=n) for n in range(50)]) for _ in "abc"),
            _some(logger),
        )

    async def _some(logger):
        for n in range(50):
            logger.info("loop", n=n)
            await asyncio.sleep(0)

    asyncio.run(many())
    assert sorted(line["msg"] for line in log.lines) == ["loop"] * 50 + ["t"] * 150


def test_whether_debug_lines_are_written_can_be_asked(log):
    log.start(log_level="info")
    assert not debugs()
    with request_debug(on=True):
        assert debugs()
    log.start(log_level="debug")
    assert debugs()
