"""What holds over the whole catalogue, and what its examples found out about the engine."""

import pytest

from bot.domain.calls import CallClass
from bot.policy.commands.classify import Classifier
from tests.commands_house import shipped


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return shipped()


@pytest.mark.parametrize(
    "command",
    [
        "bash -c 'rm -rf /srv/x' --help",
        "bash x.sh --help",
        "python3 -c 'print(1)' --help",
        "perl -e 'print 1' --version",
        "awk 'BEGIN {system(\"id\")}' --help",
        "redis-cli flushall --help",
        "java -jar x.jar --version",
        "POSIXLY_CORRECT=1 rm -rf /srv/x --help",
    ],
)
def test_words_behind_code_or_a_script_ask_for_no_help(classifier: Classifier, command: str) -> None:
    assert not classifier.classify(command).runs_without_approval


@pytest.mark.parametrize(
    ("command", "cls"),
    [
        ("env TZ=UTC", CallClass.SENSITIVE_READ),
        ("env TZ=UTC cat x", CallClass.READ),
        ("ssh pve1", CallClass.UNKNOWN),
        ("ssh -p 22 pve1", CallClass.UNKNOWN),
        ("ssh pve1 uptime", CallClass.READ),
        ("sqlite3 x.db", CallClass.UNKNOWN),
        ("sqlite3 x.db 'select 1'", CallClass.READ),
        ("xargs -0", CallClass.UNKNOWN),
    ],
)
def test_what_starts_a_program_is_bare_until_it_names_one(classifier: Classifier, command: str, cls: CallClass) -> None:
    assert classifier.classify(command).cls is cls


@pytest.mark.parametrize(
    "command",
    [
        "psql -c 'select 1; select 2'",
        "mysql -e 'use app; select 1'",
        "psql -c 'explain analyze delete from t'",
        "psql -c 'with x as (update t set a = 1 returning *) select * from x'",
    ],
)
def test_sql_of_several_statements_or_with_a_change_in_it_asks(classifier: Classifier, command: str) -> None:
    assert not classifier.classify(command).runs_without_approval


def test_a_file_that_a_sed_script_reads_is_shown_to_nobody_unasked(classifier: Classifier) -> None:
    assert classifier.classify("sed '1r /srv/x' y").cls is CallClass.SENSITIVE_READ
    assert classifier.classify("sed '1d' y").cls is CallClass.READ


@pytest.mark.parametrize("wrapper", ["timeout 5", "nohup", "nice -n 5", "stdbuf -oL", "time", "flock /tmp/l", "setsid"])
@pytest.mark.parametrize(
    ("inner", "cls"),
    [
        ("cat x", CallClass.READ),
        ("cat /etc/shadow", CallClass.SENSITIVE_READ),
        ("touch x", CallClass.CHANGE),
        ("unheard-of x", CallClass.UNKNOWN),
        ("systemctl stop sshd", CallClass.DESTROY),
        ("rm -rf /", CallClass.FORBIDDEN),
    ],
)
def test_a_wrapper_adds_nothing_and_takes_nothing_away(
    classifier: Classifier, wrapper: str, inner: str, cls: CallClass
) -> None:
    assert classifier.classify(f"{wrapper} {inner}").cls is cls


@pytest.mark.parametrize("wrapper", ["chroot /mnt", "nsenter -t 1 -m", "tmux new-session", "setpriv --nnp"])
def test_a_wrapper_that_changes_where_a_program_runs_never_makes_a_read_of_it(
    classifier: Classifier, wrapper: str
) -> None:
    assert not classifier.classify(f"{wrapper} ls").runs_without_approval
    assert classifier.classify(f"{wrapper} rm -rf /srv/x").cls in {CallClass.DESTROY, CallClass.FORBIDDEN}


@pytest.mark.parametrize(
    "command",
    ["ovs-vsctl show -- del-br x", "mysqladmin status shutdown", "parted /dev/sda print rm 1", "nft 'list ruleset; flush ruleset'"],
)  # fmt: skip
def test_a_second_command_behind_a_harmless_one_counts(classifier: Classifier, command: str) -> None:
    assert not classifier.classify(command).runs_without_approval
