"""The pure parts: tables, targets, heads, codes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.core.errors import Fault
from backstay.core.settings import Given, load
from backstay.gateway.errors import ERRORS
from backstay.gateway.exchange import Exchange
from backstay.gateway.intake import read_request
from backstay.gateway.settings import GatewaySettings, RouteSpec, Upstream, read_upstreams
from backstay.gateway.stages import route
from backstay.gateway.watch import Watch
from backstay.gateway.wire import clean_request_id, named_by_connection, seen_path, split_target


def code_of(call, *args):
    with pytest.raises(Fault) as caught:
        call(*args)
    return caught.value.entry.code


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/v1/codeq", "/v1/codeq"),
        ("/v1/codeq/tasks", "/v1/codeq"),
        ("/v1/codeq/tasks/claim", "/v1/codeq/tasks/claim"),
        ("/v1/codeq/tasks/claims", "/v1/codeq"),
        ("/v1/codeq/tasks/claim/x", "/v1/codeq/tasks/claim"),
        ("/v1/codeq/tasks/7/result", "/v1/codeq/tasks/{id}/result"),
        ("/v1/codeq/tasks/7/result/x", "/v1/codeq/tasks/{id}/result"),
        ("/v1/codeq/tasks/7/results", "/v1/codeq"),
        ("/v1/codeq/tasks//result", "/v1/codeq"),
        ("/v1/codeqx", None),
        ("/v1", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_longest_prefix_of_whole_segments_wins(path, prefix):
    routes = (
        RouteSpec("/v1/codeq"),
        RouteSpec("/v1/codeq/tasks/claim", "long"),
        RouteSpec("/v1/codeq/tasks/{id}/result", "long"),
    )
    table = route.table_of([Upstream("queue", "127.0.0.1:1", routes=routes)], 100)
    stage = route.match(table, lambda _: False, [])
    exchange = Exchange("GET", path.encode(), (), "", 0.0)
    exchange.path = path
    if prefix is None:
        assert code_of(stage, exchange) == "GATE009"
    else:
        stage(exchange)
        assert (exchange.prefix, exchange.route.max_body) == (prefix, 100)


def test_a_root_route_takes_what_no_other_takes():
    routes = (RouteSpec("/"), RouteSpec("/a"))
    stage = route.match(
        route.table_of([Upstream("x", ":1", routes=routes)], 1), lambda _: False, []
    )
    for path, prefix in (("/", "/"), ("/b/c", "/"), ("/a/c", "/a")):
        exchange = Exchange("GET", b"", (), "", 0.0)
        exchange.path = path
        stage(exchange)
        assert exchange.prefix == prefix


def test_a_table_comes_from_json_from_a_file_or_from_the_runtime_folder(folder):
    text = '[{"name": "a", "address": "127.0.0.1:1", "routes": [{"prefix": "/a", "kind": "long"}]}]'
    file = folder / "table.json"
    file.write_text(text)
    assert read_upstreams(text, folder) == read_upstreams(str(file), folder)
    assert [upstream.name for upstream in read_upstreams("", folder)] == [
        "queue",
        "app",
        "patchgen",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[{}]",
        "[",
        "/no/such/file",
        '[{"name": "a", "address": "x:1", "oops": 1}]',
        '[{"name": "", "address": "x:1"}]',
        '[{"name": "a", "address": "x:1"}, {"name": "a", "address": "x:1"}]',
        '[{"name": "a", "address": "x:1", "routes": [{"prefix": "a"}]}]',
        '[{"name": "a", "address": "x:1", "routes": [{"prefix": "/a/"}]}]',
        '[{"name": "a", "address": "x:1", "routes": [{"prefix": "/a", "kind": "slow"}]}]',
        """[{"name": "a", "address": "x:1", "routes": [{"prefix": "/a"}]},
            {"name": "b", "address": "x:1", "routes": [{"prefix": "/a"}]}]""",
    ],
)
def test_a_bad_table_is_refused_with_words(folder, text):
    assert code_of(read_upstreams, text, folder) == "GATE002"


def test_durations_are_written_as_people_write_them():
    env = {"GATEWAY_UNARY_TIMEOUT": "1m30s", "JWT_SECRET": "s3cret"}
    loaded = load(GatewaySettings, Given(env=env, flags={"--listen": ":0"}))
    assert (loaded.settings.unary_timeout, loaded.settings.listen) == (90.0, ":0")
    assert "s3cret" not in repr(loaded)


@given(st.binary(max_size=60))
def test_a_seen_path_has_no_second_reading(tail):
    try:
        path = seen_path(b"/" + tail)
    except Fault:
        return
    assert "\0" not in path
    assert "\\" not in path
    assert not {".", ".."} & set(path.split("/"))


def test_targets():
    assert split_target(b"/a?b") == (b"/a?b", b"")
    assert split_target(b"http://h:1/a?b") == (b"/a?b", b"h:1")
    assert split_target(b"HTTP://h") == (b"/", b"h")
    for bad in (b"*", b"a:1", b"ftp://h/", b"http://u@h/", b"http://h?x"):
        assert code_of(split_target, bad) == "GATE020"


def test_what_connection_names_is_dropped_but_never_what_the_request_is_judged_by():
    assert named_by_connection(b"Close, X-A ,host,AUTHORIZATION,cookie") == {b"close", b"x-a"}


@pytest.mark.parametrize("bad", ["a\r\nb", "ä", "x" * 129, "a\tb"])
def test_a_harmful_request_id_is_not_taken(bad):
    assert clean_request_id(bad) == ""
    assert clean_request_id("abc-1.2_3") == "abc-1.2_3"


def test_every_code_is_the_gateways_and_stands_once():
    codes = [entry.code for entry in ERRORS]
    assert len(set(codes)) == len(codes)
    assert all(code.startswith("GATE") for code in codes)


def test_a_second_host_is_a_fault_and_not_a_choice():
    headers = [(b"Host", b"a"), (b"host", b"b")]
    exchange = read_request(b"GET", b"/", headers, "1.1", "", 0.0)
    assert exchange.fault is not None


async def test_a_watch_fires_once_at_the_last_deadline_set():
    loop = asyncio.get_running_loop()
    fired = []
    watch = Watch(loop, lambda: fired.append(loop.time()))
    began = loop.time()
    watch.set(0.05)
    watch.set(5.0)
    watch.set(0.1)
    await asyncio.sleep(0.2)
    assert len(fired) == 1
    assert 0.098 <= fired[0] - began < 0.15
    watch.set(0.02)
    watch.off()
    await asyncio.sleep(0.05)
    assert len(fired) == 1
