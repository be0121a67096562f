"""What is refused of a configuration, and where the key comes from."""

from pathlib import Path
from typing import Any

import pytest

from nearline.adapters.llm_config import LlmConfig, sends_in_the_clear
from nearline.errors import DataNotFound, InvalidInput

URL = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", ""),
        ("base_url", "127.0.0.1:9/v1"),
        ("base_url", "ftp://127.0.0.1/v1"),
        ("base_url", "http://:80/v1"),
        ("base_url", "http://a:notaport/v1"),
        ("base_url", "http://a/v1?key=1"),
        ("model", ""),
        ("candidates", 1),
        ("candidates", 101),
        ("timeout_seconds", 0.0),
        ("timeout_seconds", float("nan")),
        ("pause_seconds", 4_000.0),
        ("tokens_per_minute", -1),
        ("tokens_per_day", -1),
        ("cache_entries", -1),
        ("failures", 0),
        ("options", {"messages": []}),
        ("options", {"stream": True}),
    ],
)
def test_out_of_range_settings_are_reported(field: str, value: Any) -> None:
    config = LlmConfig(**{"base_url": URL, "model": "m", field: value})
    with pytest.raises(InvalidInput, match=rf"llm\.{field}"):
        config.check()


def test_a_password_in_the_address_is_rejected_and_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        LlmConfig(base_url="http://me:hunter2@host/v1", model="m").check()
    assert "hunter2" not in str(caught.value)


def test_the_key_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LlmConfig(base_url=URL, model="m")
    monkeypatch.delenv("NEARLINE_LLM_KEY", raising=False)
    assert config.read_key() is None
    monkeypatch.setenv("NEARLINE_LLM_KEY", " sk-1\n")
    assert config.read_key() == "sk-1"
    monkeypatch.setenv("OTHER", "sk-2")
    assert LlmConfig(base_url=URL, model="m", key_env="OTHER").read_key() == "sk-2"
    path = tmp_path / "key"
    path.write_text("sk-3\n")
    held = LlmConfig(base_url=URL, model="m", key_file=str(path))
    assert held.read_key() == "sk-3"
    assert "sk-" not in repr(held)


@pytest.mark.parametrize("key", ["", "  ", "sk\n1", "schlüssel", "a\x00b"])
def test_an_invalid_key_is_rejected_and_not_repeated(tmp_path: Path, key: str) -> None:
    path = tmp_path / "secret"
    path.write_text(key)
    with pytest.raises(InvalidInput, match="printable ASCII") as caught:
        LlmConfig(base_url=URL, model="m", key_file=str(path)).read_key()
    assert "schl" not in str(caught.value)


def test_a_missing_key_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="key_file"):
        LlmConfig(base_url=URL, model="m", key_file=str(tmp_path / "no")).read_key()


@pytest.mark.parametrize(
    ("url", "open_to_readers"),
    [
        ("https://api.example.com/v1", False),
        ("http://127.0.0.1:1/v1", False),
        ("http://[::1]:1/v1", False),
        ("http://localhost/v1", False),
        ("http://10.0.0.1/v1", True),
        ("http://llm/v1", True),
    ],
)
def test_plain_http_is_unencrypted(url: str, open_to_readers: bool) -> None:
    assert sends_in_the_clear(url) == open_to_readers
