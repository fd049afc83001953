"""settings.py: from variables to one checked, frozen object."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from miniqueue.errors import ConfigError
from miniqueue.redis_client import connect
from miniqueue.settings import Settings, variable

BOUNDED = [f for f in fields(Settings) if f.metadata["low"] is not None]
NAMES = [f.name for f in BOUNDED]
NUMBERS = [f.name for f in fields(Settings) if type(f.default) in (int, float)]


def test_no_variable_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_every_field_is_read_from_its_variable() -> None:
    other: dict[str, Any] = {f.name: f.metadata["high"] for f in BOUNDED}
    other |= {"redis_url": "redis://x:1", "namespace": "n", "queue": "q", "host": "0.0.0.0"}
    other |= {"api_token": "t", "read_token": "r", "submit_token": "s"}
    other |= {"imports": "a,b", "log_json": True, "tracing": True}
    assert other.keys() == {f.name for f in fields(Settings)}
    environ = {variable(name): str(value) for name, value in other.items()}
    assert Settings.from_env(environ) == Settings(**other)


def test_settings_survive_the_journey_to_a_subprocess() -> None:
    settings = Settings(lease_s=1.5, queue="mail", log_json=True, imports="a,b", api_token="t")
    assert Settings.from_env(settings.environ()) == settings


def test_an_empty_variable_is_no_variable() -> None:
    assert Settings.from_env({"MINIQUEUE_LEASE_S": "", "MINIQUEUE_QUEUE": ""}) == Settings()


def test_redis_url_is_read_and_our_own_variable_wins() -> None:
    assert Settings.from_env({"REDIS_URL": "redis://a"}).redis_url == "redis://a"
    both = {"REDIS_URL": "redis://a", "MINIQUEUE_REDIS_URL": "redis://b"}
    assert Settings.from_env(both).redis_url == "redis://b"


@pytest.mark.parametrize("name", NAMES)
def test_a_bound_may_be_touched_and_not_crossed(name: str) -> None:
    (field,) = (f for f in BOUNDED if f.name == name)
    low, high = field.metadata["low"], field.metadata["high"]
    values: tuple[Any, ...] = (low, high, field.default)
    for value in values:
        assert getattr(Settings(**{name: value}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=f"{variable(name)}={value}"):
            Settings(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_a_text_that_is_no_number_is_refused_by_the_name_of_the_variable(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable(name)}='many'"):
        Settings.from_env({variable(name): "many"})


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=variable(name)):
        Settings.from_env({variable(name): "nan"})


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("0", False), ("no", 0)])
def test_a_switch_is_read(text: str, value: bool) -> None:
    assert Settings.from_env({"MINIQUEUE_LOG_JSON": text}).log_json is bool(value)


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(ConfigError, match="MINIQUEUE_LOG_JSON='maybe'"):
        Settings.from_env({"MINIQUEUE_LOG_JSON": "maybe"})


@pytest.mark.parametrize("name", ["MINIQUEUE_QUEUE", "MINIQUEUE_NAMESPACE"])
@pytest.mark.parametrize("text", ["a b", "a:b", "{a}", "x" * 65, "a.b"])
def test_a_name_that_cannot_be_part_of_a_key_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Settings.from_env({name: text})


def test_an_address_that_is_no_address_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="MINIQUEUE_REDIS_URL"):
        connect(Settings(redis_url="localhost"))


def test_but_changes_what_is_given() -> None:
    settings = Settings().but(queue="mail", concurrency=None)
    assert (settings.queue, settings.concurrency) == ("mail", Settings().concurrency)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().queue = "mail"  # type: ignore[misc]


def test_modules_are_split_at_commas() -> None:
    assert Settings(imports=" a, b.c,,").modules == ("a", "b.c")


def test_every_setting_has_its_sentence() -> None:
    assert all(f.metadata["doc"].endswith((".", ")")) for f in fields(Settings))
