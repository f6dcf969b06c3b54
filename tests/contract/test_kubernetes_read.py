"""`kubernetes_read` against a real API server: rows, RBAC, Secrets, and what happens when there is nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.calls import CallClass, Prepared
from tests.kubernetes_house import (
    BASIS,
    ControlPlane,
    KubernetesHouse,
    add,
    free_port,
    kubeconfig,
    needs_kubernetes,
    node,
    pod,
    running_control_plane,
)

pytestmark = [needs_kubernetes, pytest.mark.slow]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "lab.local/hello:1"}]}
"""
SECRET = "very-secret-password-0123"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with running_control_plane(tmp_path_factory.mktemp("kube")) as one:
        house = KubernetesHouse(tmp_path_factory.mktemp("first"), one)
        house.make(BASIS)
        for name, ready in (("cp1", True), ("cp2", True), ("cp3", False)):
            thing, status = node(name, ready=ready)
            add(house, thing)
            house.set_status("Node", "", name, status)
        add(
            house,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}},
            pod("web-1"),
            pod("web-2", on="cp2"),
        )
        waiting = {
            "name": "web",
            "ready": False,
            "restartCount": 7,
            "image": "x",
            "imageID": "",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        }
        house.set_status("Pod", "web", "web-2", {"phase": "Running", "containerStatuses": [waiting]})
        running = {
            "name": "web",
            "ready": True,
            "restartCount": 0,
            "image": "x",
            "imageID": "",
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }
        house.set_status("Pod", "web", "web-1", {"phase": "Running", "containerStatuses": [running]})
        house.make(DEPLOYMENT)
        add(
            house,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "db", "namespace": "web", "annotations": {"note": SECRET}},
                "stringData": {"password": SECRET},
            },
        )
        add(house, {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1", "namespace": "web"}, "type": "Warning", "reason": "BackOff",
                    "message": "restarting failed container", "count": 7, "lastTimestamp": "2026-01-02T00:00:00Z",
                    "involvedObject": {"kind": "Pod", "namespace": "web", "name": "web-2"}})  # fmt: skip
        yield one


@pytest.fixture
def house(plane: ControlPlane, tmp_path: Path) -> KubernetesHouse:
    return KubernetesHouse(tmp_path, plane)


async def test_nodes(house: KubernetesHouse) -> None:
    result = await house.use(house.read, what="nodes")
    assert (result.status, result.facts["ready"], result.facts["versions"]) == ("ok", 2, ["v1.33.13"])
    assert "cp3 NOT READY control-plane v1.33.13 192.168.178.21" in result.text


async def test_pods_the_unwell_come_first(house: KubernetesHouse) -> None:
    result = await house.use(house.read, what="pods", namespace="web")
    assert result.text.splitlines()[:2] == [
        "2 pods, 1 not healthy",
        "web/web-2 Running CrashLoopBackOff 0/1 ready 7 restarts on cp2",
    ]
    assert (result.facts["count"], result.facts["unhealthy"]) == (2, 1)


async def test_events_of_one_object(house: KubernetesHouse) -> None:
    result = await house.use(house.read, what="events", namespace="web", name="web-2")
    assert result.text == "2026-01-02T00:00:00Z Warning BackOff Pod web/web-2 ×7: restarting failed container"
    assert (await house.use(house.read, what="events", namespace="web", name="web-1")).facts["count"] == 0


async def test_get_one_a_list_and_a_value(house: KubernetesHouse) -> None:
    one = await house.use(house.read, what="get", kind="deployment", namespace="web", name="web")
    assert "replicas: 2" in one.text and "managedFields" not in one.text
    assert (await house.use(house.read, what="get", kind="Deployment")).facts["names"] == ["web/web"]
    value = await house.use(
        house.read, what="get", kind="Deployment", namespace="web", name="web", path="{.spec.replicas}"
    )
    assert value.facts == {"found": True, "value": 2}
    wrong = await house.use(house.read, what="get", kind="Deployment", namespace="web", name="web", path="a[")
    assert wrong.status == "failed" and "JMESPath" in wrong.text


async def test_what_is_not_there_is_said(house: KubernetesHouse) -> None:
    assert "not found" in (await house.use(house.read, what="get", kind="Deployment", namespace="web", name="no")).text
    assert "no kind 'Unicorn'" in (await house.use(house.read, what="get", kind="Unicorn")).text
    assert "needs namespace and name" in await house.refuse(house.read, what="logs", namespace="web")


async def test_rollout_under_way_then_complete(house: KubernetesHouse) -> None:
    result = await house.use(house.read, what="rollout", kind="Deployment", namespace="web", name="web")
    assert result.status == "ok" and result.facts["complete"] is False
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
    house.set_status("Deployment", "web", "web", status)
    result = await house.use(house.read, what="rollout", kind="Deployment", namespace="web", name="web", wait_s=30)
    assert (result.status, result.facts["complete"]) == ("ok", True)
    assert "complete: 2 of 2 updated, 2 of 2 available" in result.text


async def test_health_names_checks_versions_and_certificates(house: KubernetesHouse) -> None:
    result = await house.use(house.read, what="health")
    assert result.facts["ready"] is True and result.facts["etcd_check"] is True
    assert isinstance(result.facts["certificate_days"], int) and isinstance(result.facts["kubeconfig_days"], int)
    assert str(result.facts["version"]).startswith("v1.") and "days left" in result.text
    assert result.facts["etcd"] == [] and "etcd: 0 of 0 members healthy, the API server's check ok" in result.text


async def test_rule_22_a_secret_asks_and_its_values_are_never_shown(house: KubernetesHouse) -> None:
    prepared = await house.prepare(house.read, what="get", kind="secrets", namespace="web")
    assert isinstance(prepared, Prepared) and prepared.effect.cls is CallClass.SENSITIVE_READ
    result = await house.use(house.read, what="get", kind="Secret", namespace="web", name="db")
    assert result.status == "ok" and "password: '[not shown: 25 bytes]'" in result.text
    listed = await house.use(
        house.read, what="get", kind="Secret", namespace="web", path="items[].[data, metadata.annotations]"
    )
    for text in (result.text, listed.text, str(listed.facts)):
        assert SECRET not in text and "dmVyeS1zZWNyZXQ" not in text


async def test_the_view_kubeconfig_can_change_nothing(house: KubernetesHouse) -> None:
    with pytest.raises(Exception, match="not allowed by the cluster's RBAC"):
        house.clusters.view("home").ask("DELETE", "/api/v1/namespaces/web/pods/web-1")


async def test_a_server_that_is_away(house: KubernetesHouse) -> None:
    house.put("view", kubeconfig(f"https://127.0.0.1:{free_port()}", house.plane.authority.pem, {"token": "t" * 40}))
    result = await house.use(house.read, what="nodes")
    assert result.status == "failed" and "cannot be reached: Connection refused" in result.text
    assert "t" * 40 in house.secrets


async def test_another_cluster_at_the_address(house: KubernetesHouse) -> None:
    from tests.kubernetes_house import Authority

    house.put("view", kubeconfig(house.plane.server, Authority().pem, {"token": "t" * 40}))
    result = await house.use(house.read, what="nodes")
    assert result.status == "failed" and "TLS with 127.0.0.1" in result.text and "made anew" in result.text


async def test_an_expired_client_certificate(house: KubernetesHouse) -> None:
    house.put("view", house.plane.kubeconfig("watchbill-view", days=-1))
    result = await house.use(house.read, what="nodes")
    assert result.status == "failed" and "may have expired" in result.text
