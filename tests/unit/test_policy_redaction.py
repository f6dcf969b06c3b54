"""What secrets look like, by example, and what is none. Every value here is made up."""

import json
import re

import pytest

from bot.policy.placeholders import MARK
from bot.policy.redaction import SecretRedactor

UUID = "12345678-90ab-cdef-1234-567890abcdef"
LETTERS = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"

SECRETS: dict[str, tuple[str, str]] = {
    "pem": (f"x\n-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----\ny", BODY),
    "pem, encrypted": (f"-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{BODY}\n-----END PRIVATE KEY-----", BODY),
    "pem, cut off": (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}\n", BODY),
    "pgp": (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{BODY}\n-----END PGP PRIVATE KEY BLOCK-----", BODY),
    "age": ("AGE-SECRET-KEY-1" + "Q" * 58, "Q" * 20),
    "jwt": (f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{LETTERS}", LETTERS),
    "slack bot": ("xoxb-1234567890-0987654321-" + LETTERS, LETTERS),
    "slack app": ("xapp-1-A0123-456-" + LETTERS, LETTERS),
    "slack webhook": (f"https://hooks.slack.com/services/T0000/B0000/{LETTERS}", LETTERS),
    "aws id": ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    "aws secret": (f"aws_secret_access_key = {LETTERS}abcd", LETTERS),
    "github": ("ghp_" + LETTERS, LETTERS),
    "github fine": ("github_pat_11AAAA_" + LETTERS, LETTERS),
    "gitlab": ("glpat-" + LETTERS, LETTERS),
    "openai": ("sk-proj-" + LETTERS, LETTERS),
    "anthropic": ("sk-ant-api03-" + LETTERS, LETTERS),
    "google": ("AIza" + LETTERS[:35], LETTERS[:35]),
    "google token": ("ya29." + LETTERS, LETTERS),
    "google client": ("GOCSPX-" + LETTERS[:28], LETTERS[:28]),
    "azure storage": (f"AccountName=x;AccountKey={LETTERS}{LETTERS}==;Endpoint=y", LETTERS),
    "azure sas": (f"?sv=2024&sig={LETTERS}{LETTERS}%3D", LETTERS),
    "stripe": ("sk_live_" + LETTERS, LETTERS),
    "sendgrid": (f"SG.{LETTERS[:22]}.{LETTERS}ABCDEFG", LETTERS),
    "twilio": ("SK" + "0123456789abcdef" * 2, "0123456789abcdef" * 2),
    "npm": ("npm_" + LETTERS, LETTERS),
    "pypi": ("pypi-AgEIcHlwaS5vcmc" + LETTERS * 2, LETTERS),
    "docker": ("dckr_pat_" + LETTERS, LETTERS),
    "digitalocean": ("dop_v1_" + "0123456789abcdef" * 4, "0123456789abcdef" * 2),
    "vault": ("hvs." + LETTERS, LETTERS),
    "vault, old": ("s." + LETTERS[:24], LETTERS[:24]),
    "terraform cloud": (f"{LETTERS[:14]}.atlasv1.{LETTERS}{LETTERS}", LETTERS + LETTERS),
    "grafana": ("glsa_" + LETTERS, LETTERS),
    "tailscale": ("tskey-auth-" + LETTERS, LETTERS),
    "huggingface": ("hf_" + LETTERS, LETTERS),
    "telegram": (f"123456789:AA{LETTERS[:33]}", LETTERS[:33]),
    "pve token": (f"builder@pve!watchbill={UUID}", UUID),
    "pve header": (f"Authorization: PVEAPIToken=audit@pve!wb={UUID}", UUID),
    "pve ticket": (f"PVE:root@pam:65F1A2B3::{LETTERS}{LETTERS}==", LETTERS),
    "pve csrf": (f'"CSRFPreventionToken":"65F1A2B3:{LETTERS}"', LETTERS),
    "url": ("postgres://app:p4ss.w0rd@db.lan:5432/app", "p4ss.w0rd"),
    "url with a token": (f"https://{LETTERS}@git.example/x.git", LETTERS),
    "url with a long password": (f"redis://:{'x1' * 300}@cache:6379/0", "x1x1"),
    "basic": ("Authorization: Basic YWRtaW46aHVudGVyMg==", "YWRtaW46aHVudGVyMg"),
    "bearer": (f"curl -H 'authorization: Bearer {LETTERS}'", LETTERS),
    "bearer alone": (f"sent bearer {LETTERS} to it", LETTERS),
    "cookie": ("Set-Cookie: sid=abcdef123456; Path=/", "abcdef123456"),
    "kubeadm": ("kubeadm join 10.0.0.1:6443 --token abcdef.0123456789abcdef", "0123456789abcdef"),
    "bootstrap token alone": ("use abcdef.0123456789abcdef then", "0123456789abcdef"),
    "certificate key": ("--certificate-key " + "0123456789abcdef" * 4, "0123456789abcdef"),
    "shadow": ("root:$6$rounds=5000$salt$" + LETTERS + ":19000:0:99999:7:::", LETTERS),
    "yescrypt": ("debian:$y$j9T$abc$" + LETTERS + ":1", LETTERS),
    "bcrypt": ("admin:$2y$10$" + LETTERS, LETTERS),
    "htpasswd": ("admin:$apr1$abcdefgh$" + LETTERS[:22], LETTERS[:22]),
    "htpasswd sha": ("admin:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", "0DPiKuNIrrVmD8IUCuw1hQxNqZc"),
    "assignment": ("DB_PASSWORD=hunter22", "hunter22"),
    "assignment in hcl": ('  cipassword = "hunter22"', "hunter22"),
    "assignment with an escape": (r'password = "a\"hunter22" # x', "hunter22"),
    "assignment cut off": ('password: "hunter22 and mor', "hunter22"),
    "single quotes": ("api_key: 'hunter22'", "hunter22"),
    "json": ('{"user":"x","client_secret":"hunter22"}', "hunter22"),
    "json in json": (r'{"body":"{\"token\":\"hunter22\"}"}', "hunter22"),
    "arrow": ("passphrase => hunter22", "hunter22"),
    "flag": ("qm set 100 --cipassword hunter22 --cores 2", "hunter22"),
    "flag with equals": ("run --api-key=hunter22", "hunter22"),
    "sshpass": ("sshpass -p hunter22 ssh root@x", "hunter22"),
    "chpasswd pipe": ("echo root:hunter22 | chpasswd", "hunter22"),
    "cloud-init chpasswd": ("chpasswd:\n  expire: false\n  list: |\n    root:hunter22\n    debian:hunter33\n", "hunter33"),
    "kubernetes yaml": ("kind: Secret\ndata:\n  tls.key: aHVudGVyMjI=\n  more: aHVudGVyMzM=\ntype: Opaque\n", "aHVudGVyMzM"),
    "kubernetes json": ('{"kind":"Secret","data":{"a":"aHVudGVyMjI=","b":"aHVudGVyMzM="}}', "aHVudGVyMzM"),
    "kubeadm's own words": ("[upload-certs] Using certificate key:\n" + "0123456789abcdef" * 4, "0123456789abcdef"),
    "kubeadm's file": ("certificateKey: " + "0123456789abcdef" * 4, "0123456789abcdef"),
    "kubeconfig": (f"users:\n- name: a\n  user:\n    client-key-data: {LETTERS}{LETTERS}==", LETTERS),
    "pem in base64": ("key: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQ" + BODY, BODY),
    "pve table": (f'│ full-tokenid │ root@pam!ci │\n│ info │ {{"privsep":"1"}} │\n│ value        │ {UUID} │', UUID),
    "ceph": ("[client.admin]\n\tkey = AQ" + LETTERS + "==", LETTERS),
    "netrc": ("machine git.lan login ci password hunter22", "hunter22"),
    "curl": ("curl -fsS -u admin:hunter22 http://x", "hunter22"),
    "mysql": ("mysqldump --single-transaction -uroot -phunter22 app", "hunter22"),
    "redis-cli": ("redis-cli -h cache -a hunter22 ping", "hunter22"),
    "redis.conf": ('requirepass "hunter22"', "hunter22"),
    "unseal key": (f"Unseal Key 1: {LETTERS}", LETTERS),
    "docker login": ('{"auths":{"r.lan":{"auth":"Y2k6aHVudGVyMjI="}}}', "Y2k6aHVudGVyMjI"),
    "environment of a container": ("env:\n- name: DB_PASSWORD\n  value: hunter22\n", "hunter22"),
    "environment in json": ('{"name":"DB_PASSWORD","value":"hunter22"}', "hunter22"),
    "a line of a text in json": ('{"out": "a\\nghp_' + LETTERS + '\\nb"}', LETTERS),
    "yaml in json": ('{"out": "kind: Secret\\ndata:\\n  a: aHVudGVyMjI=\\n"}', "aHVudGVyMjI"),
    "json in an annotation": (r'last-applied: {\"kind\":\"Secret\",\"data\":{\"a\":\"aHVudGVyMjI=\"}}', "aHVudGVyMjI"),
    "atlassian": ("ATATT3x" + LETTERS * 2, LETTERS),
    "a dotted capital I before": ("İİİ password=hunter22", "hunter22"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_rule_22_it_is_redacted(name: str) -> None:
    text, secret = SECRETS[name]
    redactor = SecretRedactor()
    clean = redactor.text(text)
    assert secret in text
    assert secret not in clean
    assert MARK in clean
    assert redactor.text(clean) == clean


BENIGN = [
    "Plan: 3 to add, 0 to change, 0 to destroy.",
    "Nov 23 09:14:36 pve1 corosync[1234]:   [KNET  ] link: host: 2 link: 0 is up",
    'resource "proxmox_virtual_environment_vm" "this" { password = var.vm_password }',
    "password = random_password.db.result",
    'token = "${var.token}"',
    "user_password (sensitive value)",
    "max_tokens: 4096, tokens_per_minute=500000",
    "token: str | None",
    "password: <your password here>",
    "https://pve1.lan:8006/api2/json/nodes",
    "ssh root@pve1 and mail ana@example.org",
    "git commit 3f2a91c4d5e6f708192a3b4c5d6e7f8091a2b3c4",
    "sha256:9c1d22ab12cd34ef56ab78cd90ef12ab34cd56ef78ab90cd12ef34ab56cd78ef",
    "kind: ConfigMap\ndata:\n  key: value\n",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "price is $5 or $60$ each",
    "kubernetes secret rotation is documented",
    "vm 100 cp1 192.168.178.21/24 2 CPU 4 GiB",
    "chpasswd list: none",
]


@pytest.mark.parametrize("text", BENIGN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert SecretRedactor().text(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    redactor = SecretRedactor(pve_token="hunter2-exact")
    assert kinds(redactor.text("postgres://app:p4ss@db/app")) == "postgres://app:‹secret:url›@db/app"
    assert kinds(redactor.text("a hunter2-exact b ghp_" + LETTERS + " c")) == "a ‹secret:pve_token› b ‹secret:github› c"
    assert redactor.text("nothing here") == "nothing here"


def test_secrets_that_overlap_go_as_one() -> None:
    text = f"Cookie: -----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----\nrest"
    assert kinds(SecretRedactor().text(text)) == "Cookie: ‹secret:header›\nrest"


def test_rule_22_lines_of_a_longer_secret_are_secrets() -> None:
    redactor = SecretRedactor(f"{BODY}\nshort\n{LETTERS}\n")
    assert kinds(redactor.text(f"one {LETTERS} two short")) == "one ‹secret:learned› two short"
    assert BODY not in redactor.text(BODY)


def test_rule_22_a_secret_that_is_learned_later_goes_as_well() -> None:
    redactor = SecretRedactor()
    assert redactor.text("plain-value") == "plain-value"
    redactor.learn("plain-value")
    redactor.learn("plain-value", "", "tiny")
    assert kinds(redactor.text("plain-value tiny")) == "‹secret:learned› tiny"


def test_the_redactor_does_not_show_what_it_knows() -> None:
    assert "plain-value" not in repr(SecretRedactor("plain-value"))


def test_the_words_of_a_mark_are_no_secrets() -> None:
    redactor = SecretRedactor("learned", "secret", "‹secret:marked›", "plain-value")
    once = redactor.text("plain-value was ‹secret:marked›")
    assert kinds(once) == "‹secret:learned› was ‹secret:marked›"
    assert redactor.text(once) == once


def test_what_only_looks_like_a_mark_is_text() -> None:
    """A host cannot get a secret out by writing it as if it were one that was cut already."""
    redactor = SecretRedactor("hunter2_very_secret", pve_token="value-of-the-token")
    assert kinds(redactor.text("‹secret:hunter2_very_secret›")) == "‹secret:‹secret:learned››"
    assert redactor.text("‹secret:pve_token›") == "‹secret:pve_token›"


def test_the_same_secret_has_the_same_name_whatever_it_is_found_by() -> None:
    redactor = SecretRedactor("value-of-the-key", pve_token="value-of-the-token")
    other = SecretRedactor("value-of-the-key", pve_token="value-of-the-token")
    for text in ("x value-of-the-key y", "password=value-of-the-key", "dmFsdWUtb2YtdGhlLWtleQ=="):
        assert redactor.placeholder_of("value-of-the-key") in redactor.text(text)
        assert redactor.text(text) == other.text(text)  # another worker, the same name
    assert redactor.json({"password": "value-of-the-token"}) == {"password": "‹secret:pve_token›"}
    assert redactor.text("password=hunter22") == redactor.text("password=hunter22")
    assert redactor.text("password=hunter22") != redactor.text("password=hunter33")


@pytest.mark.parametrize("kept", [0.5, 0.7, 0.95])
@pytest.mark.parametrize("end", ["head", "tail"])
def test_rule_22_a_secret_that_a_tool_cut_off_is_still_seen(kept: float, end: str) -> None:
    secret = "Zq7mRx-wT4vKpL9sBn2hYc8dFj3gXe5u"
    size = int(len(secret) * kept)
    piece = secret[:size] if end == "head" else secret[-size:]
    clean = SecretRedactor(pve_token=secret).text(f"… {piece} …")
    assert clean == "… ‹secret:pve_token› …"
    assert SecretRedactor(pve_token=secret).text(f"… {secret[:9]} …") == f"… {secret[:9]} …"


def test_rule_22_json_keys_that_name_secrets_hide_everything_under_them() -> None:
    value = {
        "password": "x", "api-key": 12345, "user": "ana", "pin": 5, "empty_token": "", "no_token": None, "is_secret": True,
        "db_secret": {"a": ["b", 1.5, {"c": "d"}], "e": None}, "list": ["a", 2, 2.5, False, None],
    }  # fmt: skip
    named = "‹secret:named›"
    assert json.loads(kinds(json.dumps(SecretRedactor().json(value), ensure_ascii=False))) == {
        "password": named, "api-key": named, "user": "ana", "pin": 5, "empty_token": "", "no_token": None, "is_secret": True,
        "db_secret": {"a": [named, named, {"c": named}], "e": None}, "list": ["a", 2, 2.5, False, None],
    }  # fmt: skip
    pair = {"name": "DB_PASSWORD", "value": "hunter22"}
    assert "hunter22" not in str(SecretRedactor().json({"env": [pair, {"name": "LEVEL", "value": "info"}]}))


def test_two_keys_that_were_secrets_stay_two() -> None:
    clean = SecretRedactor(one="plain-value").json({"plain-value": 1, "706c61696e2d76616c7565": 2})
    assert clean == {"‹secret:one›": 1, "‹secret:one›#2": 2}


def test_numbers_that_hold_a_secret_are_no_numbers_any_more() -> None:
    clean = SecretRedactor(pin="123456").json([99123456, 1.5, 12345])
    assert clean == ["99‹secret:pin›", 1.5, 12345]


def kinds(text: str) -> str:
    """`text` with the digits of every placeholder left out."""
    return re.sub(r"(?<=‹secret:)([a-z]+)_[0-9a-f]{4}(?=›)", r"\1", text)
