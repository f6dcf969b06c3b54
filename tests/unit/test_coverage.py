"""Quotes stand in the request word for word; what no quote covers is told."""

import pytest

from bot.policy.coverage import normal, quoted, tells, uncovered

REQUEST = (
    "@Architect I have two mini-PCs with Proxmox VE 9. Build a highly available Kubernetes cluster on them with "
    "an ingress controller and a hello-world app that I can reach from my LAN."
)


@pytest.mark.parametrize(
    ("quote", "stands"),
    [
        ("highly available Kubernetes cluster", True),
        ("Highly  AVAILABLE\nkubernetes cluster,", True),
        ("“an ingress controller”", True),
        ("Build a … cluster on them", True),
        ("two mini-PCs ... from my LAN", True),
        ("cluster on them … Build a", False),
        ("high available cluster", False),
        ("a Kubernetes cluster", False),
        ("ingress control", False),
        ("world app", False),
        ("", False),
        ("…", False),
        (" .,; ", False),
    ],
)
def test_rule_6_a_quote_is_verbatim_in_its_order(quote: str, *, stands: bool) -> None:
    assert quoted(quote, [REQUEST]) is stands


def test_a_quote_does_not_reach_over_two_sources() -> None:
    assert not quoted("from my LAN and a database", [REQUEST, "and a database"])
    assert quoted("and a database", [REQUEST, "and a database"])


@pytest.mark.parametrize(("quote", "says"), [("an ingress", True), ("on them with", False), ("a", False), ("", False)])
def test_a_quote_of_small_words_says_nothing(quote: str, *, says: bool) -> None:
    assert tells(quote) is says


def test_what_no_quote_covers_is_told_in_its_order() -> None:
    left = uncovered(REQUEST, ["highly available Kubernetes cluster", "an ingress controller"])
    assert left == (
        "I have two mini-PCs with Proxmox VE 9. Build a",
        "and a hello-world app that I can reach from my LAN",
    )


def test_nothing_is_left_when_the_quotes_cover_everything_that_says_something() -> None:
    quotes = [
        "two mini-PCs with Proxmox VE 9. Build a … Kubernetes cluster", "highly available", "ingress controller",
        "hello-world app", "reach from my LAN",
    ]  # fmt: skip
    assert uncovered(REQUEST, quotes) == ()


def test_mentions_and_bare_punctuation_are_no_words() -> None:
    assert uncovered("<@U0ARCH001> @Builder … ;", []) == ()
    request = "Build … an ingress"
    assert quoted("Build an ingress", [request])
    assert uncovered(request, ["Build an ingress"]) == ()


def test_comparison_forgets_case_spaces_and_quotation_marks() -> None:
    assert normal("  “Three”   VMs,\n(please) ") == "three vms please"
