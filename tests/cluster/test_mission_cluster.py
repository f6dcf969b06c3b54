"""The whole mission: one message in Slack becomes a highly available cluster that answers, and is drilled."""

import json
import re
import subprocess
import sys

import pytest

from tests.ansible_house import needs_ansible
from tests.cluster_house import needs_bundle
from tests.hosts_house import ROOT
from tests.traces_house import links

pytestmark = [pytest.mark.e2e, *needs_bundle, needs_ansible]


@pytest.mark.timeout(2100)
def test_rule_8_one_message_becomes_a_cluster_that_survives_the_loss_of_each_machine() -> None:
    before = links()
    done = subprocess.run(
        [sys.executable, "-m", "bot", "demo", "--headless", "--reach", "cluster"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=2000,
    )  # fmt: skip
    result = json.loads(done.stdout.splitlines()[-1])
    thread = done.stdout
    assert (done.returncode, result["outcome"]) == (0, "done"), thread
    assert [one["passed"] for one in result["criteria"]] == [True] * 6
    assert result["applied"] == {"created": 3, "changed": 0, "destroyed": 0}
    assert result["approvals"] == {"asked": 4, "approved": 4, "denied": 0}
    assert (result["overlapping_turns"], result["thoughts_posted"], result["secrets_seen"]) == (0, 0, 0)
    assert "Fault drill: power off cp1, cp2, cp3 in turn" in thread
    drilled, again = (result["criteria"][at]["evidence"] for at in (1, 5))
    assert re.findall(r"(cp\d) away \d+ s: api [\d,]+ of [\d,]+, longest away \d", drilled) == ["cp1", "cp2", "cp3"]
    assert "the second run of the playbook made 0 changes" in again
    assert "The second run of the playbook: 0 changes." in thread
    assert "[report.md]" in thread and "[topology.png]" in thread
    assert links() == before
