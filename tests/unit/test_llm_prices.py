"""Prices: every call has one, and a file's mistake names file and field."""

from pathlib import Path

import pytest

from bot.domain.model import Usage
from bot.llm.prices import load_prices
from bot.policy.problems import PolicyError

SHIPPED = Path(__file__).parents[2] / "policies" / "prices.yaml"


def file_with(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_calls_cost_counts_cached_and_written_tokens_apart(tmp_path: Path) -> None:
    line = "anthropic:m: {input: 3, cached: 0.3, written: 3.75, output: 15}"
    prices = load_prices(file_with(tmp_path, f"prices: {{{line}}}"))
    usage = Usage(prompt=1_000_000, completion=100_000, cached=600_000)
    assert prices.cost("anthropic:m", usage, written=300_000) == pytest.approx(0.3 + 0.18 + 1.125 + 1.5)
    assert prices.cost("anthropic:m", Usage()) == 0


def test_absent_cache_prices_are_the_price_of_input(tmp_path: Path) -> None:
    prices = load_prices(file_with(tmp_path, "prices: {openai:local/llama:8b: {input: 2, output: 0}}"))
    assert prices.cost("openai:local/llama:8b", Usage(1_000_000, 5, 500_000)) == 2


def test_rule_20_a_model_without_a_price_names_file_and_field(tmp_path: Path) -> None:
    prices = load_prices(file_with(tmp_path, "prices: {openai:m: {input: 1, output: 1}}"))
    assert prices.models == {"openai:m"}
    with pytest.raises(
        PolicyError, match=r"prices\.yaml: prices\.openai:other: this model has no price.*Known: openai:m"
    ):
        prices.cost("openai:other", Usage(1, 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prices: {openai:m: {input: 1}}", r"prices\.openai:m\.output: Field required"),
        ("prices: {openai:m: {input: -1, output: 1}}", r"prices\.openai:m\.input"),
        ("prices: {openai:m: {input: 1, output: 1, exit: 2}}", r"prices\.openai:m\.exit"),
        ("prices: {m: {input: 1, output: 1}}", r"prices\.m"),
        ("prices: {}", "prices: "),
        ("prices: {", "this is no YAML"),
        ("- a", "prices.yaml"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as caught:
        load_prices(file_with(tmp_path, text))
    assert "prices.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_prices(tmp_path / "prices.yaml")


def test_the_shipped_prices_hold_together() -> None:
    prices = load_prices(SHIPPED)
    assert {"openai:gpt-6.1-terra", "anthropic:claude-sonnet-5-5"} <= prices.models
    for price in prices.of.values():
        assert price.cached <= price.input <= price.written <= price.output
