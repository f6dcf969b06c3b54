"""What belongs where. Every doubt is production."""

import pytest

from bot.policy.environments import EnvironmentsFile

MAP = EnvironmentsFile.model_validate(
    {
        "order": ["lab", "staging", "production"],
        "members": {
            "lab": {
                "node": ["lab*"],
                "url": ["*.lab", "192.168.178.0/24", "10.0.0.7"],
                "vm": ["*"],
                "host": ["fd00::/8"],
                "file": ["/srv/lab/*"],
            },
            "staging": {"node": ["lab9"], "context": ["stage-?"]},
        },
    }
).typed()


@pytest.mark.parametrize(
    ("kind", "name", "environment"),
    [
        ("node", "lab1", "lab"),
        ("node", "LAB1", "lab"),
        ("node", "lab9", "staging"),
        ("node", "pve1", "production"),
        ("node", "xlab1", "production"),
        ("vm", "anything", "lab"),
        ("context", "stage-a", "staging"),
        ("context", "stage-ab", "production"),
        ("pool", "lab1", "production"),
        ("url", "http://hello.lab/x?y=1", "lab"),
        ("url", "https://192.168.178.20:6443/livez", "lab"),
        ("url", "http://10.0.0.7", "lab"),
        ("url", "http://192.168.179.1/", "production"),
        ("url", "http://evil.example/?x=hello.lab", "production"),
        ("url", "http://hello.lab@evil.example/", "production"),
        ("url", "http://192.168.178.evil.example/", "production"),
        ("url", "hello.lab", "production"),
        ("url", "http://[broken/", "production"),
        ("host", "fd00::17", "lab"),
        ("host", "fe00::17", "production"),
        ("host", "", "production"),
        ("file", "/srv/lab/x", "lab"),
        ("file", "/srv/prod/x", "production"),
    ],
)
def test_each_thing_has_the_strictest_environment_that_names_it(kind: str, name: str, environment: str) -> None:
    assert MAP.of(kind, name) == environment


def test_the_strictest_of_several_counts_and_of_none_production() -> None:
    assert MAP.strictest(["lab", "staging"]) == "staging"
    assert MAP.strictest(["production", "lab"]) == "production"
    assert MAP.strictest([]) == "production"
    assert MAP.strictest(["lab", "unheard-of"]) == "production"
