from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest
from pydantic import Field, SecretStr, ValidationError, model_validator

from servicekit.settings import (
    DrainSettings,
    Duration,
    KafkaSettings,
    PathList,
    Section,
    ServiceSettings,
    SettingsError,
    WordList,
    environment_names,
    load,
    parse_duration,
    service_config,
)

SECRET = "correct-horse-battery"


class StoreSettings(Section):
    dsn: SecretStr
    pool_size: int = Field(default=5, ge=1)
    wait: Duration = parse_duration("2s")

    @model_validator(mode="after")
    def _is_local(self) -> Self:
        if self.dsn.get_secret_value().startswith("remote"):
            raise ValueError("the store must be local")
        return self


class Settings(ServiceSettings):
    model_config = service_config("SHOP")

    token: SecretStr = SecretStr("unset")
    words: WordList = ("one",)
    folders: PathList = ()
    verbose: bool = False
    store: StoreSettings
    kafka: KafkaSettings = KafkaSettings()


REQUIRED = {"SHOP_STORE_DSN": SECRET}


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(Settings, environ)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_fields_and_sections_are_read_by_name() -> None:
    settings = load(
        Settings,
        REQUIRED
        | {
            "SHOP_REGION": "eu",
            "SHOP_VERBOSE": "true",
            "SHOP_STORE_POOL_SIZE": "7",
            "SHOP_STORE_WAIT": "1m30s",
            "SHOP_ADMIN_PORT": "9000",
            "SHOP_KAFKA_SASL_MECHANISM": "PLAIN",
            "OTHER_REGION": "us",
            "PATH": "/bin",
        },
    )
    assert (settings.region, settings.verbose, settings.admin.port) == ("eu", True, 9000)
    assert (settings.store.pool_size, settings.store.wait) == (7, timedelta(seconds=90))
    assert settings.kafka.sasl_mechanism == "PLAIN"
    assert settings.store.dsn.get_secret_value() == SECRET


def test_lists_are_split_at_their_separators() -> None:
    settings = load(Settings, REQUIRED | {"SHOP_WORDS": "a,b,,c", "SHOP_FOLDERS": "/etc/x::relative/y"})
    assert settings.words == ("a", "b", "c")
    assert settings.folders == (Path("/etc/x"), Path("relative/y"))


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = load(Settings, REQUIRED | {"SHOP_WORDS": "", "SHOP_STORE_POOL_SIZE": "", "SHOP_UNKNOWN": ""})
    assert settings.words == ("one",)
    assert settings.store.pool_size == 5
    assert problems(SHOP_STORE_DSN="") == ["SHOP_STORE_DSN: required"]


def test_all_problems_are_reported_together_and_each_names_its_variable() -> None:
    found = problems(
        SHOP_ADMIN_PORT="70000",
        SHOP_DRAIN_GRACE="20",
        SHOP_LOG_LEVEL="loud",
        SHOP_STORE_POOL_SIZE="0",
        SHOP_STORE_POOLSIZE="3",
        SHOP_UNKNOWN="x",
        SHOP_VERBOSE="perhaps",
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "SHOP_ADMIN_PORT",
        "SHOP_DRAIN_GRACE",
        "SHOP_LOG_LEVEL",
        "SHOP_STORE_DSN",
        "SHOP_STORE_POOLSIZE",
        "SHOP_STORE_POOL_SIZE",
        "SHOP_UNKNOWN",
        "SHOP_VERBOSE",
    ]
    assert "SHOP_DRAIN_GRACE: not a duration such as 500ms, 30s, 5m or 1h30m" in found
    assert "SHOP_STORE_DSN: required" in found
    assert "SHOP_UNKNOWN: no such setting" in found


def test_a_rule_over_a_whole_section_is_reported_for_the_section() -> None:
    assert problems(SHOP_STORE_DSN=f"remote {SECRET}") == ["SHOP_STORE: the store must be local"]


class Guarded(ServiceSettings):
    model_config = service_config("VAULT")

    pin: SecretStr = Field(min_length=40)


def test_the_value_of_a_secret_is_in_no_problem_and_no_text_form() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Guarded, {"VAULT_PIN": SECRET})
    assert caught.value.problems == [
        "VAULT_PIN: not accepted (the value is secret and not shown; too_short)",
    ]
    settings = load(Settings, REQUIRED | {"SHOP_TOKEN": SECRET, "SHOP_KAFKA_PASSWORD": SECRET})
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in text


def test_the_endpoint_of_opentelemetry_is_taken_unless_the_services_own_is_set() -> None:
    general = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://general:4317"}
    assert load(Settings, REQUIRED).telemetry.otlp_endpoint is None
    assert load(Settings, REQUIRED | general).telemetry.otlp_endpoint == "http://general:4317"
    own = {"SHOP_TELEMETRY_OTLP_ENDPOINT": "http://own:4317"}
    assert load(Settings, REQUIRED | general | own).telemetry.otlp_endpoint == "http://own:4317"


def test_settings_are_frozen_at_every_level() -> None:
    settings = load(Settings, REQUIRED)
    with pytest.raises(ValidationError, match="frozen"):
        settings.region = "eu"
    with pytest.raises(ValidationError, match="frozen"):
        settings.admin.port = 1


def test_making_a_value_directly_does_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_REGION", "from-the-environment")
    store = StoreSettings(dsn=SecretStr(SECRET))
    assert Settings(store=store).region == "local"
    monkeypatch.setenv("SHOP_STORE_DSN", SECRET)
    assert load(Settings).region == "from-the-environment"


def test_every_name_is_listed_with_the_path_of_its_field() -> None:
    names = environment_names(Settings)
    assert names["SHOP_TOKEN"] == ("token",)
    assert names["SHOP_STORE_POOL_SIZE"] == ("store", "pool_size")
    assert names["SHOP_KAFKA_SESSION_TIMEOUT"] == ("kafka", "session_timeout")
    assert "SHOP_STORE" not in names


def test_the_longest_drain_counts_the_reserve_of_each_component() -> None:
    drain = DrainSettings(propagation=timedelta(seconds=5), grace=timedelta(seconds=20), reserve=timedelta(seconds=2))
    assert drain.longest(4) == timedelta(seconds=33)


def test_s53_a_secret_is_read_from_the_file_that_its_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("local://with spaces \n")
    settings = load(Settings, {"SHOP_STORE_DSN_FILE": str(file)})
    assert settings.store.dsn.get_secret_value() == "local://with spaces "


@pytest.mark.parametrize(
    ("content", "more", "problem"),
    [
        (None, {}, r"cannot be read \(No such file or directory\)"),
        (b"", {}, "is empty"),
        (b"\n", {}, "is empty"),
        (b"\xff" + SECRET.encode(), {}, "is not text"),
        (SECRET.encode(), {"SHOP_STORE_DSN": "local"}, "SHOP_STORE_DSN is set too"),
    ],
)
def test_s53_a_file_that_holds_no_secret_is_a_problem_that_shows_none(
    tmp_path: Path, content: bytes | None, more: dict[str, str], problem: str
) -> None:
    if content is not None:
        (tmp_path / "dsn").write_bytes(content)
    with pytest.raises(SettingsError, match=f"SHOP_STORE_DSN_FILE: {problem}") as caught:
        load(Settings, {"SHOP_STORE_DSN_FILE": str(tmp_path / "dsn"), **more})
    assert SECRET not in str(caught.value)


def test_what_is_no_secret_is_in_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SHOP_VERBOSE_FILE: no such setting"):
        load(Settings, {"SHOP_STORE_DSN": "local", "SHOP_VERBOSE_FILE": str(tmp_path)})
