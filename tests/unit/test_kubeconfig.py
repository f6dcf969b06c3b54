"""What is taken of a kubeconfig, and that nothing of it is ever said."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes_house import Authority, kubeconfig, packed
from tools.estate import Estates
from tools.hosts import Roster
from tools.kubeconfig import KubeconfigError, Kubeconfigs, parse
from tools.ssh_connection import Connections

SERVER = "https://192.168.178.20:6443"
TOKEN = "token-that-nobody-sees-0123456789"


def whole(**user: Any) -> dict[str, Any]:
    return yaml.safe_load(kubeconfig(SERVER, Authority().pem, user or {"token": TOKEN}))


def test_the_current_context_is_what_is_taken() -> None:
    certificate, key = Authority().issue("me")
    access = parse(
        yaml.safe_dump(whole(**{"client-certificate-data": packed(certificate), "client-key-data": packed(key)}))
    )
    assert (access.server, access.certificate, access.key, access.token) == (SERVER, certificate, key, "")
    assert key not in repr(access)


def changed(path: str, value: Any) -> dict[str, Any]:
    made = whole()
    place: Any = made
    *above, last = path.split(".")
    for part in above:
        place = place[int(part) if part.isdigit() else part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (changed("users.0.user.exec", {"command": "evil"}), "users.0.user.exec: extra_forbidden"),
        (
            changed("clusters.0.cluster.insecure-skip-tls-verify", value=True),
            "insecure-skip-tls-verify: extra_forbidden",
        ),
        (changed("clusters.0.cluster.server", "http://10.0.0.1"), "needs https"),
        (changed("clusters.0.cluster.certificate-authority-data", "***"), "is damaged"),
        (changed("users.0.user", {"client-certificate-data": packed("x")}), "neither a token nor a client certificate"),
        (changed("current-context", "other"), "names no whole current-context"),
        (changed("current-context", None), "current-context: missing"),
    ],
)
def test_what_is_not_understood_is_refused_without_its_words(written: dict[str, Any], why: str) -> None:
    with pytest.raises(KubeconfigError) as refused:
        parse(yaml.safe_dump(written))
    assert why in str(refused.value)
    assert TOKEN not in str(refused.value) and "evil" not in str(refused.value)


def held(tmp_path: Path, learned: set[str]) -> Kubeconfigs:
    estates = Estates(tmp_path, tmp_path)
    return Kubeconfigs(
        estates,
        lambda name: Roster(estates.named(name).root / "hosts"),
        Connections(None),
        lambda *one: learned.update(one),
    )


def test_rule_22_secret_parts_are_learned_before_anything_is_given_out(tmp_path: Path) -> None:
    learned: set[str] = set()
    certificate, key = Authority().issue("me")
    configs = held(tmp_path, learned)
    folder = configs.folder("home")
    folder.mkdir(parents=True)
    path = folder / "view.conf"
    path.write_text(
        yaml.safe_dump(whole(**{"client-certificate-data": packed(certificate), "client-key-data": packed(key)}))
    )
    path.chmod(0o644)
    with pytest.raises(KubeconfigError, match="can be read by others"):
        configs.held("home", "view")
    path.chmod(0o600)
    access = configs.held("home", "view")
    assert {key, packed(key), key.splitlines()[1]} <= learned
    (folder / "view-0000.pem").touch()
    pem = configs.pem("home", "view", access)
    assert [one.name for one in folder.glob("*.pem")] == [pem.name]
    assert pem.stat().st_mode & 0o777 == 0o600 and folder.stat().st_mode & 0o777 == 0o700
    assert configs.renewed("home", "view", access) is None  # the operator's is the operator's


def test_nothing_held_and_nobody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="No kubeconfig is held for estate home"):
        held(tmp_path, set()).held("home", "write")
