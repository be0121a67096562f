"""The language model on the command line."""

from pathlib import Path

import pytest
from tests.cli.running import run, run_json
from tests.recommend.test_llm import backwards, endpoint

from nearline.testing.chat_endpoint import ChatEndpoint

__all__ = ["endpoint"]


@pytest.fixture
def asked(shop: Path, endpoint: ChatEndpoint) -> list[str]:
    """Return the options of the language model."""
    return ["--store", str(shop), "--llm-url", endpoint.url, "--llm-model", "tiny"]


def test_lists_are_reordered(asked: list[str], endpoint: ChatEndpoint) -> None:
    plain = run_json("recommend", *asked, "u1", "-k", "3")
    assert plain["tier"] == "personal"
    assert not endpoint.asked
    better = run_json("recommend", *asked, "u1", "-k", "3", "--rerank")
    assert endpoint.answer is backwards
    assert (better["tier"], len(endpoint.asked)) == ("personal+llm", 1)
    assert "personal+llm" in run("recommend", *asked, "u1", "--rerank").stdout


def test_explanations_have_a_sentence(asked: list[str], shop: Path, endpoint: ChatEndpoint) -> None:
    item = run_json("recommend", *asked, "u1", "-k", "1")["items"][0]["item_id"]
    explanation = run_json("explain", *asked, "u1", item, "--words")
    assert (explanation["words"], explanation["worded_by"]) == ("You chose a red cup.", "llm")
    alone = run("explain", "--store", shop, "u1", item, "--words")
    assert "red thing" in alone.stdout.splitlines()[-1]
    assert alone.stdout.endswith("(template)\n")


@pytest.mark.parametrize(
    "command", [("recommend", "u1", "--rerank"), ("explain", "u1", "r1", "--words"), ("serve",)]
)
@pytest.mark.parametrize("option", ["--llm-url", "--llm-model"])
def test_one_option_without_the_other_is_wrong_use(
    command: tuple[str, ...], option: str, shop: Path
) -> None:
    result = run(*command, "--store", shop, option, "x")
    assert result.exit_code == 2
    assert "give both" in result.stderr


def test_an_invalid_address_is_reported(shop: Path) -> None:
    given = ("--llm-url", "localhost:1", "--llm-model", "m")
    result = run("recommend", "--store", shop, "u1", "--rerank", *given)
    assert result.exit_code == 1
    assert "llm.base_url" in result.stderr
