"""Settings say where each value came from, and a bad set names all its problems at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from backstay.core.errors import Fault, for_terminal
from backstay.core.redact import redactor
from backstay.core.settings import Given, Option, Secret, load


class Example(msgspec.Struct, frozen=True):
    port: Annotated[int, msgspec.Meta(ge=1, le=65535), Option("port", env=("PORT",), flag="--port")]
    name: Annotated[str, Option("name", env=("NAME", "OLD_NAME"))] = "shop"
    ratio: Annotated[float, Option("ratio")] = 0.5
    debug: Annotated[bool, Option("debug", env=("DEBUG",))] = False
    key: Annotated[Secret, Option("key", env=("KEY",), key="apiKey")] = Secret("")
    folder: Annotated[Path, Option("folder", flag="--data-dir")] = Path(".backstay")
    tags: Annotated[tuple[str, ...], Option("tags", env=("TAGS",))] = ()
    wait: Annotated[float, Option("wait", env=("WAIT",), key="limits.wait", duration=True)] = 5.0
    mode: Annotated[Literal["dev", "prod"], Option("mode", env=("MODE",))] = "dev"
    limit: Annotated[int | None, Option("limit", env=("LIMIT",))] = None

    def problems(self) -> Iterable[str]:
        if self.mode == "prod" and not self.key:
            yield "environment variable KEY: required when mode is prod"


def problems(given: Given) -> str:
    with pytest.raises(Fault) as caught:
        load(Example, given)
    assert caught.value.entry.code == "CORE001"
    return for_terminal(caught.value)


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def test_flag_beats_environment_beats_file_beats_default(config):
    file = config("port: 1\nname: from-file\nratio: 0.25\n")
    loaded = load(Example, Given(flags={"--port": 3}, env={"PORT": "2", "NAME": "env"}, file=file))
    assert (loaded.settings.port, loaded.settings.name, loaded.settings.ratio) == (3, "env", 0.25)
    where = {value.name: (value.source, value.where) for value in loaded.values}
    assert where["port"] == ("flag", "--port")
    assert where["name"] == ("env", "NAME")
    assert where["ratio"] == ("file", "config.yaml:3")
    assert where["mode"] == ("default", "")


def test_every_type_is_read_from_text():
    env = {
        "PORT": "8080",
        "OLD_NAME": "n",
        "DEBUG": "yes",
        "KEY": "k3y-value",
        "TAGS": "a, b,",
        "WAIT": "1m30s",
        "MODE": "PROD",
        "LIMIT": "7",
    }
    settings = load(Example, Given(env=env, flags={"data_dir": "~/x"})).settings
    assert settings.debug is True
    assert settings.key.reveal() == "k3y-value"
    assert settings.tags == ("a", "b")
    assert settings.wait == 90.0
    assert settings.mode == "prod"
    assert settings.limit == 7
    assert settings.name == "n"
    assert settings.folder == Path("~/x").expanduser()


def test_yaml_lists_and_nested_keys_are_read(config):
    file = config("port: 80\ntags:\n  - a\n  - b\nlimits:\n  wait: 300ms\nname:\n")
    loaded = load(Example, Given(file=file))
    assert loaded.settings.tags == ("a", "b")
    assert loaded.settings.wait == 0.3
    assert loaded.settings.name == "shop"


def test_all_problems_come_in_one_fault(config):
    file = config("prot: 80\nratio: high\ntags: {a: b}\nmode: prd\nlimits:\n  wiat: 1s\n")
    shown = problems(Given(env={"DEBUG": "perhaps", "WAIT": "5"}, file=file))
    assert f"{file}:1: key prot: unknown, did you mean 'port'?" in shown
    assert f"{file}:2: key ratio: 'high': expected a number" in shown
    assert f"{file}:3: key tags" in shown
    assert f"{file}:4: key mode: 'prd': expected one of dev, prod, did you mean 'prod'?" in shown
    assert f"{file}:6: key limits.wiat: unknown, did you mean 'limits.wait'?" in shown
    assert "environment variable DEBUG: 'perhaps': expected true or false" in shown
    assert "environment variable WAIT: '5': '5' is not a duration" in shown
    assert "--port or environment variable PORT or key port: required, and not given" in shown
    assert "error CORE001: 8 of the settings" in shown


def test_bounds_are_kept():
    shown = problems(Given(env={"PORT": "70000"}))
    assert "environment variable PORT: '70000': expected int <= 65535" in shown


def test_settings_that_contradict_each_other_are_named():
    shown = problems(Given(env={"PORT": "1", "MODE": "prod"}))
    assert "KEY: required when mode is prod" in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port: 1\nname: [a, b\nratio: 2\n", "config.yaml:3:6: YAML syntax"),
        ("- a\n- b\n", "config.yaml:1: expected keys and values"),
        ("port: 1\nport: 2\n", "config.yaml:2: key port: given before, on line 1"),
        ("a: &a\n  b: *a\n", "config.yaml:1: key a: unknown"),
    ],
)
def test_a_broken_file_is_named_with_its_line(config, text, says):
    assert says in problems(Given(file=config(text)))


def test_a_file_that_does_not_parse_is_one_problem_not_many(config):
    assert "1 of the settings" in problems(Given(file=config("a: [\n")))


def test_a_missing_file_is_named(tmp_path):
    assert "absent.yaml: cannot be read: No such file" in problems(
        Given(file=tmp_path / "absent.yaml")
    )


def test_a_secret_never_prints(config):
    file = config("port: 80\napiKey: swordfish-9\n")
    loaded = load(Example, Given(file=file))
    value = next(value for value in loaded.values if value.name == "key")
    assert isinstance(value.value, Secret)
    shown = f"{loaded} {value.shown()} {value.value}"
    assert "swordfish-9" not in shown
    assert redactor().redact("got swordfish-9 back") == "got **** back"


def test_a_misplaced_secret_is_not_quoted_back(config):
    file = config("port: 80\napiKey: [swordfish-8]\n")
    assert "swordfish" not in problems(Given(file=file))


def test_an_empty_variable_is_not_given():
    assert load(Example, Given(env={"PORT": "1", "NAME": ""})).settings.name == "shop"


def test_a_flag_given_several_times_is_a_list_and_not_given_is_nothing():
    flags = {"port": 1, "tags": ("a,b", "c"), "data_dir": Path("x")}
    settings = load(Example, Given(flags=flags, env={"TAGS": "z"})).settings
    assert settings.tags == ("a,b", "c")
    assert settings.folder == Path("x")
    assert load(Example, Given(flags=flags | {"tags": ()}, env={"TAGS": "z"})).settings.tags == (
        "z",
    )
