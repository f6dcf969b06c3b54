"""What the lab can do to a real machine, seen from where it hurts: over SSH, on the disk, in apt."""

import statistics
import time
from collections.abc import Iterator

import paramiko
import pytest

from deploy.lab.hosts.namespaces import connect
from tests.hosts_house import HostsLab, hosts_lab, public_key, real_machines, refused, said, until

pytestmark = real_machines
VMID, ADDRESS = 101, "192.168.178.21"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsLab]:
    with hosts_lab(tmp_path_factory.mktemp("faults")) as lab:
        lab.create(VMID, "cp1", ADDRESS)
        yield lab


@pytest.fixture
def lab(shared: HostsLab) -> HostsLab:
    shared.fault("clear")
    if shared.status(VMID) == "stopped":
        shared.power(VMID, "start")
    shared.host_key(VMID)
    return shared


def round_trip(client: paramiko.SSHClient) -> float:
    started = time.monotonic()
    said(client, "true")
    return time.monotonic() - started


def pings(lab: HostsLab, **cable: float) -> float:
    """Share of answered pings from the machine to the LAN's gateway over such a cable.

    Begun before the cable is bad and read through the guest agent, so that no SSH has to get through it.
    """
    ping = "sleep 3; ping -q -i 0.01 -W 1 -c 300 192.168.178.1; echo over"
    with lab.ssh(VMID, ADDRESS) as client:
        said(client, f"rm -f pings; sudo nohup sh -c '{ping}' > pings 2> /dev/null < /dev/null &")
    lab.fault("network", vmid=VMID, **cable)

    def read() -> str:
        text = str(lab.machine(VMID).agent("file-read").get(file="/home/ops/pings")["content"])
        return text if "over" in text else ""

    text = str(until(read, "the pings", 120))
    lab.fault("network", vmid=VMID)
    return 1 - float(text.rpartition("% packet loss")[0].rpartition(" ")[2]) / 100


def test_power_off_is_a_power_cut(lab: HostsLab) -> None:
    with lab.ssh(VMID, ADDRESS) as client:
        lab.fault("power_off", vmid=VMID)
        assert lab.status(VMID) == "stopped"
        with pytest.raises((OSError, paramiko.SSHException, EOFError)):
            connect(lab.keeper, (ADDRESS, 22), 2)
        client.close()
    lab.power(VMID, "start")
    with lab.ssh(VMID, ADDRESS) as client:
        said(client, "true")


def test_cut_cable_silences_the_machine_and_its_agent_still_answers(lab: HostsLab) -> None:
    lab.fault("network", vmid=VMID, cut=True)
    with pytest.raises((TimeoutError, OSError)):
        connect(lab.keeper, (ADDRESS, 22), 1.5)
    assert lab.machine(VMID).agent("ping").post() == {"result": {}}  # it does not go over the network
    lab.fault("network", vmid=VMID)
    with lab.ssh(VMID, ADDRESS) as client:
        said(client, "true")


def test_late_cable_is_late_by_what_was_asked(lab: HostsLab) -> None:
    with lab.ssh(VMID, ADDRESS) as client:
        usual = statistics.median(round_trip(client) for _ in range(3))
    lab.fault("network", vmid=VMID, delay_ms=200)
    with lab.ssh(VMID, ADDRESS, timeout_s=30) as client:
        late = statistics.median(round_trip(client) for _ in range(3))
        text = said(client, "ping -q -c 3 192.168.178.1")
        average = float(text.rpartition(" = ")[2].split("/")[1])
        assert 400 <= average < 2000  # 200 ms each way; a busy machine may add to it
    assert late > usual + 0.4
    lab.fault("clear")
    with lab.ssh(VMID, ADDRESS) as client:
        text = said(client, "ping -q -c 3 192.168.178.1")
        assert float(text.rpartition(" = ")[2].split("/")[1]) < 200


def test_lossy_cable_loses_about_what_was_asked(lab: HostsLab) -> None:
    assert pings(lab) > 0.97
    assert 0.3 < pings(lab, loss_percent=30) < 0.7  # there and back: 0.7 * 0.7 = 0.49
    assert pings(lab) > 0.97


def test_large_transfers_pass_a_bad_cable_unharmed(lab: HostsLab) -> None:
    lab.fault("network", vmid=VMID, delay_ms=20)
    content = bytes(range(256)) * 8192
    with lab.ssh(VMID, ADDRESS, timeout_s=30) as client:
        with client.open_sftp() as files, files.open("/tmp/large", "wb") as target:
            target.set_pipelined(True)
            target.write(content)
        assert said(client, "stat -c %s /tmp/large") == str(len(content))
        with client.open_sftp() as files, files.open("/tmp/large") as source:
            assert source.read() == content


def test_nonsense_is_refused_with_a_reason(lab: HostsLab) -> None:
    for how, reason in (
        ({"kind": "network", "vmid": VMID, "loss_percent": 130}, "0 to 100"),
        ({"kind": "network", "vmid": 999, "cut": True}, "no machine 999"),
        ({"kind": "network"}, "vmid"),
        ({"kind": "missing_binary", "vmid": VMID, "path": "nft"}, "absolute path"),
        ({"kind": "missing_binary", "vmid": VMID, "path": "/usr/sbin/nowhere"}, "No such file"),
        ({"kind": "gremlins", "vmid": VMID}, "apt_lock"),
    ):
        with pytest.raises(AssertionError, match=reason):
            lab.control("fault", how)


def test_full_disk_takes_nothing_more_until_it_is_freed(lab: HostsLab) -> None:
    lab.fault("disk_full", vmid=VMID)
    with lab.ssh(VMID, ADDRESS) as client:
        assert "No space left on device" in refused(client, "head -c 1000000 /dev/zero > ~/more")
        assert "No space left on device" in refused(
            client, "sudo sh -c 'head -c 1000000 /dev/zero > /var/lib/kubelet/more'"
        )
        assert said(client, "df --output=avail / | tail -1") == "0"
        assert "filler" not in said(client, "sudo ls -a /")  # nothing that one could just remove
        lab.fault("disk_full", vmid=VMID, full=False)
        said(client, "head -c 1000000 /dev/zero > ~/more && rm ~/more")


def test_missing_program_is_gone_and_comes_back(lab: HostsLab) -> None:
    lab.fault("missing_binary", vmid=VMID, path="/usr/sbin/nft")
    with lab.ssh(VMID, ADDRESS) as client:
        assert "not found" in refused(client, "sudo nft list ruleset")
        lab.fault("clear")
        said(client, "sudo nft list ruleset")


def test_changed_host_key_is_refused_by_who_knew_the_old_one(lab: HostsLab) -> None:
    old = lab.host_key(VMID)
    lab.fault("host_key", vmid=VMID)
    client = paramiko.SSHClient()
    client.get_host_keys().add(ADDRESS, "ssh-ed25519", public_key(old))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    with pytest.raises(paramiko.BadHostKeyException):
        client.connect(ADDRESS, username="ops", sock=connect(lab.keeper, (ADDRESS, 22)))
    client.close()
    assert lab.host_key(VMID) != old
    with lab.ssh(VMID, ADDRESS) as client:
        said(client, "true")


def test_locked_apt_says_who_holds_it(lab: HostsLab) -> None:
    lab.fault("apt_lock", vmid=VMID)
    with lab.ssh(VMID, ADDRESS) as client:
        text = refused(client, "sudo apt-get install -y less")
        assert "Could not get lock /var/lib/dpkg/lock-frontend" in text
        assert "unattended-upgr" in text
        assert "lock" in refused(client, "sudo apt-get update -o Acquire::Retries=0")
        lab.fault("apt_lock", vmid=VMID, locked=False)
        assert "already the newest version" in said(client, "sudo apt-get install -y less")


def test_power_off_takes_cables_and_locks_along(lab: HostsLab) -> None:
    lab.fault("network", vmid=VMID, delay_ms=50)
    lab.fault("apt_lock", vmid=VMID)
    lab.power(VMID, "stop")
    lab.power(VMID, "start")
    with lab.ssh(VMID, ADDRESS) as client:
        assert "already the newest version" in said(client, "sudo apt-get install -y less")
        assert float(said(client, "ping -q -c 2 192.168.178.1").rpartition(" = ")[2].split("/")[1]) < 50


def test_a_full_disk_outlives_a_power_cut_and_is_healed_afterwards(lab: HostsLab) -> None:
    lab.fault("disk_full", vmid=VMID)
    lab.fault("power_off", vmid=VMID)
    lab.fault("clear")  # nothing to be healed in a machine that is off
    lab.power(VMID, "start")
    with lab.ssh(VMID, ADDRESS) as client:
        assert said(client, "df --output=avail / | tail -1") == "0"
        lab.fault("clear")
        assert said(client, "df --output=avail / | tail -1") != "0"


def test_logs_show_what_happened_inside(lab: HostsLab) -> None:
    with lab.ssh(VMID, ADDRESS) as client:
        said(client, "sudo logger -t proof written inside")
    logs = lab.control(f"logs?vmid={VMID}")
    assert "Reached target" in logs["console"]
    assert "power on" in logs["console"]
    until(lambda: "proof[" in lab.control(f"logs?vmid={VMID}")["journal"], "the journal's line", 5)
