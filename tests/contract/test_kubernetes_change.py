"""`kubernetes_apply` and `kubernetes_change` against a real API server: the card, the pins, the deed, STOP and a crash."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.calls import CallClass, Prepared
from tests.kubernetes_house import (
    BASIS,
    ControlPlane,
    KubernetesHouse,
    add,
    needs_kubernetes,
    node,
    pod,
    running_control_plane,
)
from tools import kubernetes_change
from tools.kubernetes_api import KubernetesError
from tools.trace import Trace

pytestmark = [needs_kubernetes, pytest.mark.slow]
HELLO = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: hello, namespace: {space}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: hello}}}}
  template:
    metadata: {{labels: {{app: hello}}}}
    spec:
      containers:
      - {{name: hello, image: "lab.local/hello:{tag}", ports: [{{containerPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: hello, namespace: {space}}}
spec: {{selector: {{app: hello}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""
TOLERANT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: hello, namespace: {space}}}
spec:
  {{selector: {{matchLabels: {{app: hello}}}}, minReadySeconds: 5, template: {{metadata: {{labels: {{app: hello}}}}, spec: {{
    tolerations: [{{key: a, operator: Exists, effect: NoSchedule}}, {{key: b, operator: Exists}}],
    containers: [{{name: hello, image: "lab.local/hello:1", ports: [{{containerPort: 8080}}]}}]}}}}}}
"""
WHY = "because the test says so"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with running_control_plane(tmp_path_factory.mktemp("kube")) as one:
        KubernetesHouse(tmp_path_factory.mktemp("first"), one).make(BASIS)
        yield one


@pytest.fixture
def house(plane: ControlPlane, tmp_path: Path) -> KubernetesHouse:
    return KubernetesHouse(tmp_path, plane)


@pytest.fixture
def space(house: KubernetesHouse) -> str:
    """A namespace of the test's own."""
    name = f"web-{secrets.token_hex(3)}"
    add(house, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def hello(space: str, replicas: int = 2, tag: str = "1") -> str:
    return HELLO.format(space=space, replicas=replicas, tag=tag)


async def applied(house: KubernetesHouse, text: str, **more: Any) -> Any:
    await house.write("app.yaml", text)
    return await house.use(house.apply, path="app.yaml", words=WHY, **more)


def live(house: KubernetesHouse, kind: str, space: str, name: str) -> dict[str, Any]:
    return house.admin.get(house.admin.resource(kind).path(space, name))


# apply --------------------------------------------------------------------------------------------------------------


async def test_apply_creates_then_shows_only_what_differs(house: KubernetesHouse, space: str) -> None:
    result = await applied(house, hello(space))
    assert (result.status, result.changed, result.facts["created"]) == ("ok", True, 2)
    assert result.facts["exists"] == [f"Deployment {space}/hello", f"Service {space}/hello"]
    await house.write("app.yaml", hello(space, replicas=3, tag="2"))
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared) and prepared.effect.cls is CallClass.CHANGE
    (item,) = prepared.effect.items
    assert (item.action, item.name) == ("update", f"Deployment {space}/hello")
    assert item.detail == (
        "~ spec.replicas: 2 → 3; ~ spec.template.spec.containers[hello].image: lab.local/hello:1 → lab.local/hello:2"
    )
    assert f"# Service {space}/hello (v1): unchanged" in prepared.full_text
    assert (await house.run(house.apply, prepared)).status == "ok"
    assert live(house, "Deployment", space, "hello")["spec"]["replicas"] == 3
    assert "change nothing" in await house.refuse(house.apply, path="app.yaml", words=WHY)


async def test_rule_11_what_the_file_no_longer_sets_is_on_the_card_and_goes(house: KubernetesHouse, space: str) -> None:
    await applied(house, TOLERANT.format(space=space))
    less = TOLERANT.format(space=space).replace(", minReadySeconds: 5", "").replace(", effect: NoSchedule", "")
    less = less.replace(", {key: b, operator: Exists}", "").replace(", ports: [{containerPort: 8080}]", "")
    await house.write("app.yaml", less)
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared), prepared
    assert sorted(line for line in prepared.full_text.splitlines() if line[:2] == "- ") == [
        "- spec.minReadySeconds: 5",
        "- spec.template.spec.containers[hello].ports[8080].containerPort: 8080",
        "- spec.template.spec.containers[hello].ports[8080].protocol: TCP",
        "- spec.template.spec.tolerations[a].effect: NoSchedule",
        "- spec.template.spec.tolerations[b].key: b",
        "- spec.template.spec.tolerations[b].operator: Exists",
    ]
    assert prepared.effect.items[0].detail.startswith("- spec.")
    parsed = house.apply.parse(prepared.call.arguments)
    again = replace(prepared, call=replace(prepared.call, id="other"))
    assert Trace.of(house.estates, again).begin([])
    looked = (await house.apply.recover(again, parsed, house.scope, house.watch)).result
    assert looked.status == "unknown_outcome" and f"Deployment {space}/hello: not as approved" in looked.text
    result = await house.run(house.apply, prepared)
    assert result.status == "ok", result.text
    spec = live(house, "Deployment", space, "hello")["spec"]
    assert "minReadySeconds" not in spec and spec["template"]["spec"]["tolerations"] == [
        {"key": "a", "operator": "Exists"}
    ]
    assert "change nothing" in await house.refuse(house.apply, path="app.yaml", words=WHY)
    assert (await house.apply.recover(again, parsed, house.scope, house.watch)).result.status == "ok"


async def test_rule_11_the_writing_access_has_to_see_what_people_saw(house: KubernetesHouse, space: str) -> None:
    await house.write("app.yaml", hello(space))
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared)
    for name in ("cluster", f"object.Deployment {space}/hello"):
        other = replace(prepared, pins={**prepared.pins, name: "another"}, call=replace(prepared.call, id=name[:7]))
        parsed = house.apply.parse(other.call.arguments)
        result = (await house.apply.run(other, parsed, house.scope, house.watch)).result
        assert (result.status, result.changed) == ("failed", False)
        assert f"The writing access sees another state than people approved: {name}." in result.text
    with pytest.raises(KubernetesError, match="not found"):
        live(house, "Deployment", space, "hello")


def nothing_goes(*_: Any) -> list[str]:
    return []


async def test_rule_11_what_the_dry_run_would_change_beyond_the_card_is_not_sent(
    house: KubernetesHouse, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await applied(house, TOLERANT.format(space=space))
    await house.write("app.yaml", TOLERANT.format(space=space).replace(", minReadySeconds: 5", ", replicas: 4"))
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared)
    monkeypatch.setattr("tools.kubernetes_apply.removals", nothing_goes)
    result = await house.run(house.apply, prepared)
    assert (result.status, result.changed) == ("failed", False)
    assert "it would also change spec.minReadySeconds, which the card did not show" in result.text
    assert live(house, "Deployment", space, "hello")["spec"]["minReadySeconds"] == 5


async def test_what_the_reading_access_may_not_see_is_shown_whole_and_unknown(
    house: KubernetesHouse, space: str
) -> None:
    quota = (
        f"{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: {space}}}, type: Opaque, immutable: true}}"
    )
    await house.write("app.yaml", quota)
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared) and prepared.effect.cls is CallClass.UNKNOWN
    assert "? cannot be read with the view-only kubeconfig\n+ apiVersion: v1" in prepared.full_text
    assert "+ immutable: true" in prepared.full_text
    assert (await house.run(house.apply, prepared)).status == "ok"


async def test_rule_11_what_was_approved_is_what_is_sent(house: KubernetesHouse, space: str) -> None:
    await house.write("app.yaml", hello(space))
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared)
    await house.write("app.yaml", hello(space, replicas=50))
    await house.run(house.apply, prepared)
    assert live(house, "Deployment", space, "hello")["spec"]["replicas"] == 2


async def test_rule_11_a_status_report_voids_nothing_and_a_change_by_others_does(
    house: KubernetesHouse, space: str
) -> None:
    await applied(house, hello(space))
    await house.write("app.yaml", hello(space, replicas=4))
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared)
    parsed = house.apply.parse(prepared.call.arguments)
    house.set_status("Deployment", space, "hello", {"observedGeneration": 1, "replicas": 1})
    assert await house.apply.pins(prepared, parsed) == prepared.pins
    place = house.admin.resource("Deployment").path(space, "hello")
    house.admin.ask("PATCH", place, body={"spec": {"paused": True}}, kind="application/merge-patch+json")
    assert await house.apply.pins(prepared, parsed) != prepared.pins


async def test_nothing_is_applied_where_one_object_does_not_fit(house: KubernetesHouse, space: str) -> None:
    result = await applied(house, hello(space).replace("ports: [{port: 80", "ports: [{prot: 80"))
    assert (result.status, result.changed) == ("failed", False)
    assert ".prot: field not declared in schema" in result.text and result.text.startswith("Nothing was applied")
    with pytest.raises(KubernetesError, match="not found"):
        live(house, "Deployment", space, "hello")


async def test_fields_of_another_manager_take_a_word(house: KubernetesHouse, space: str) -> None:
    await applied(house, hello(space))
    place = house.admin.resource("Deployment").path(space, "hello", "scale")
    house.admin.ask(
        "PATCH", place, {"fieldManager": "somebody"}, {"spec": {"replicas": 7}}, "application/merge-patch+json"
    )
    result = await applied(house, hello(space, replicas=3))
    assert result.status == "failed" and "conflict" in result.text and "take_over=true" in result.text
    assert (await applied(house, hello(space, replicas=3), take_over=True)).status == "ok"


async def test_a_namespace_and_what_is_in_it_come_together(house: KubernetesHouse) -> None:
    name = f"new-{secrets.token_hex(3)}"
    text = hello(name) + f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
    result = await applied(house, text)
    assert result.status == "ok" and result.text.startswith(f"Namespace {name} created")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "no YAML"),
        ("kind: Deployment", "needs apiVersion, kind and metadata.name"),
        ("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: default}, stringData: {a: b}}", "is no secret"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: s}}", "names no namespace"),
        ("{apiVersion: v1, kind: Unicorn, metadata: {name: s, namespace: default}}", "knows no Unicorn"),
        ("a: &x {b: 1}\nc: *x", "anchors and aliases"),
        ("", "has 0 objects"),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: s, namespace: nowhere}}",
            'namespaces "nowhere" not found',
        ),
    ],
)
async def test_a_file_that_cannot_be_applied_says_why(house: KubernetesHouse, text: str, why: str) -> None:
    await house.write("app.yaml", text)
    assert why in await house.refuse(house.apply, path="app.yaml", words=WHY)


async def test_what_gives_rights_or_reaches_the_host_is_no_plain_change(house: KubernetesHouse, space: str) -> None:
    host = hello(space).replace("    spec:\n      containers", "    spec:\n      hostNetwork: true\n      containers")
    assert "hostNetwork: true" in host
    await house.write("app.yaml", host)
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared) and prepared.effect.cls is CallClass.DESTROY
    assert prepared.effect.notes == (f"Deployment {space}/hello reaches the host: hostNetwork",)


async def test_rule_13_a_crash_is_looked_at_and_not_repeated(house: KubernetesHouse, space: str) -> None:
    await house.write("app.yaml", hello(space))
    prepared = await house.prepare(house.apply, path="app.yaml", words=WHY)
    assert isinstance(prepared, Prepared)
    tool, parsed = house.apply, house.apply.parse(prepared.call.arguments)
    assert (await tool.recover(prepared, parsed, house.scope, house.watch)).result.status == "failed"
    assert Trace.of(house.estates, prepared).begin([])
    unknown = (await tool.recover(prepared, parsed, house.scope, house.watch)).result
    assert unknown.status == "unknown_outcome" and f"Deployment {space}/hello: not as approved" in unknown.text
    assert (await tool.run(prepared, parsed, house.scope, house.watch)).result.status == "refused"
    house.make(hello(space))
    assert (await tool.recover(prepared, parsed, house.scope, house.watch)).result.status == "ok"


# change -------------------------------------------------------------------------------------------------------------


async def test_scale_and_to_nothing(house: KubernetesHouse, space: str) -> None:
    await applied(house, hello(space))
    target = {"kind": "Deployment", "namespace": space, "name": "hello", "words": WHY}
    result = await house.use(house.change, action="scale", replicas=5, **target)
    assert (result.status, result.changed) == ("ok", True) and "replicas 2 → 5" in result.text
    assert "has 5 replicas already" in await house.refuse(house.change, action="scale", replicas=5, **target)
    prepared = await house.prepare(house.change, action="scale", replicas=0, **target)
    assert isinstance(prepared, Prepared) and prepared.effect.cls is CallClass.DESTROY
    result = await house.use(house.change, action="restart", **target)
    assert "watchbill/restarted-at" in str(live(house, "Deployment", space, "hello")["spec"]["template"])


async def test_delete_names_what_goes_with_it(house: KubernetesHouse, space: str) -> None:
    await applied(house, hello(space))
    result = await house.use(house.change, action="delete", kind="Service", namespace=space, name="hello", words=WHY)
    assert (result.status, result.facts["destroyed"]) == ("ok", 1) and "is gone" in result.text
    add(house, pod("web-1", namespace=space))
    prepared = await house.prepare(house.change, action="delete", kind="Namespace", name=space, words=WHY)
    assert isinstance(prepared, Prepared) and prepared.effect.cls is CallClass.DESTROY
    assert prepared.effect.notes[0].startswith("With everything in it: 1 pods, 0 services")
    kept = await house.prepare(house.change, action="delete", kind="Namespace", name="kube-system", words=WHY)
    assert isinstance(kept, Prepared) and kept.effect.cls is CallClass.FORBIDDEN


async def test_cordon_and_uncordon(house: KubernetesHouse) -> None:
    name = f"n-{secrets.token_hex(3)}"
    add(house, node(name)[0])
    assert (await house.use(house.change, action="cordon", name=name, words=WHY)).text == f"{name} is cordoned."
    assert "cordoned already" in await house.refuse(house.change, action="cordon", name=name, words=WHY)
    assert (await house.use(house.change, action="uncordon", name=name, words=WHY)).status == "ok"
    assert not live(house, "Node", "", name)["spec"].get("unschedulable")


def drained(house: KubernetesHouse, space: str) -> str:
    """A node with a managed pod, one of a DaemonSet, one static and one with an emptyDir."""
    name = f"n-{secrets.token_hex(3)}"
    thing, status = node(name)
    add(house, thing)
    house.set_status("Node", "", name, status)
    scratch = pod("scratch", namespace=space, on=name)
    scratch["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    static = pod("etcd", namespace=space, on=name, owner="")
    static["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    add(
        house,
        pod("web-1", namespace=space, on=name),
        scratch,
        pod("net", namespace=space, on=name, owner="DaemonSet"),
        static,
    )
    return name


async def test_drain_lists_who_leaves_and_drives_them_off(house: KubernetesHouse, space: str) -> None:
    name = drained(house, space)
    prepared = await house.prepare(house.change, action="drain", name=name, words=WHY)
    assert isinstance(prepared, Prepared) and prepared.effect.cls is CallClass.DESTROY
    assert [(one.action, one.name) for one in prepared.effect.items] == [
        ("replace", name), ("move", f"{space}/scratch"), ("move", f"{space}/web-1"),
    ]  # fmt: skip
    assert prepared.effect.items[1].detail == "ReplicaSet web makes it again elsewhere; its emptyDir tmp is lost"
    assert f"stays:  {space}/net · DaemonSet web" in prepared.full_text
    result = await house.run(house.change, prepared)
    assert result.status == "ok" and "2 pods left" in result.text
    assert {one["metadata"]["name"] for one in house.admin.get(f"/api/v1/namespaces/{space}/pods")["items"]} == {
        "net",
        "etcd",
    }
    assert live(house, "Node", "", name)["spec"]["unschedulable"] is True


async def test_drain_of_what_nothing_brings_back_takes_a_word(house: KubernetesHouse, space: str) -> None:
    name = drained(house, space)
    add(house, pod("alone", namespace=space, on=name, owner=""))
    assert f"Nothing brings {space}/alone back" in await house.refuse(
        house.change, action="drain", name=name, words=WHY
    )
    prepared = await house.prepare(house.change, action="drain", name=name, unmanaged=True, words=WHY)
    assert isinstance(prepared, Prepared) and ("delete", f"{space}/alone") in {
        (i.action, i.name) for i in prepared.effect.items
    }


async def test_drain_waits_for_a_budget_and_stop_says_what_it_left(house: KubernetesHouse, space: str) -> None:
    name = drained(house, space)
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": space},
              "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}}  # fmt: skip
    add(house, budget)
    for one in ("web-1", "scratch"):  # a pod that is not ready may leave whatever the budget says
        ready = [{"type": "Ready", "status": "True"}]
        house.set_status("Pod", space, one, {"phase": "Running", "conditions": ready})
    house.set_status(
        "PodDisruptionBudget",
        space,
        "web",
        {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2},
    )
    prepared = await house.prepare(house.change, action="drain", name=name, words=WHY)
    assert (
        isinstance(prepared, Prepared)
        and f"PodDisruptionBudget {space}/web allows no disruption now: its pods wait" in prepared.effect.notes
    )
    running = asyncio.ensure_future(house.run(house.change, prepared))
    while not any("drain" in one[0] for one in house.watch.told):
        await asyncio.sleep(0.05)
    house.watch.stops = 1
    result = await running
    assert (
        result.status == "interrupted"
        and f"{name} stays cordoned; still there: {space}/scratch, {space}/web-1" in result.text
    )


async def test_rule_11_another_pod_on_the_node_voids_the_drain(house: KubernetesHouse, space: str) -> None:
    name = drained(house, space)
    prepared = await house.prepare(house.change, action="drain", name=name, words=WHY)
    assert isinstance(prepared, Prepared)
    add(house, pod("web-9", namespace=space, on=name))
    assert await house.change.pins(prepared, house.change.parse(prepared.call.arguments)) != prepared.pins


async def test_rule_11_a_pod_that_comes_before_the_cordon_is_not_driven_off(
    house: KubernetesHouse, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = drained(house, space)
    prepared = await house.prepare(house.change, action="drain", name=name, words=WHY)
    assert isinstance(prepared, Prepared)
    patch = kubernetes_change._patch  # pyright: ignore[reportPrivateUsage]

    async def one_comes_first(*given: Any) -> None:
        add(house, pod("late", namespace=space, on=name))
        await patch(*given)

    monkeypatch.setattr(kubernetes_change, "_patch", one_comes_first)
    result = await house.run(house.change, prepared)
    assert result.status == "failed"
    assert (
        result.text
        == f"{name} is cordoned and nobody was driven off: {space}/late came since people saw who leaves. Ask again."
    )
    names = {one["metadata"]["name"] for one in house.admin.get(f"/api/v1/namespaces/{space}/pods")["items"]}
    assert names == {"web-1", "scratch", "net", "etcd", "late"}


async def test_rule_11_the_writing_access_sees_what_people_approved_or_nothing_is_changed(
    house: KubernetesHouse, space: str
) -> None:
    await applied(house, hello(space))
    target = {"kind": "Deployment", "namespace": space, "name": "hello", "words": WHY}
    prepared = await house.prepare(house.change, action="scale", replicas=6, **target)
    assert isinstance(prepared, Prepared)
    other = replace(prepared, pins={**prepared.pins, "cluster": "another"})
    parsed = house.change.parse(prepared.call.arguments)
    result = (await house.change.run(other, parsed, house.scope, house.watch)).result
    assert (result.status, result.changed) == ("failed", False)
    assert (
        result.text == "Nothing was changed: the writing access sees another cluster than people approved. Ask again."
    )
    assert live(house, "Deployment", space, "hello")["spec"]["replicas"] == 2


async def test_what_is_forbidden_keeps_nobody_away(house: KubernetesHouse) -> None:
    kept = await house.prepare(house.change, action="delete", kind="Namespace", name="kube-system", words=WHY)
    assert isinstance(kept, Prepared) and kept.effect.cls is CallClass.FORBIDDEN
    assert house.locks.held == {}


async def test_rule_13_after_a_crash_what_is_there_proves_it(house: KubernetesHouse, space: str) -> None:
    await applied(house, hello(space))
    target = {"kind": "Deployment", "namespace": space, "name": "hello", "words": WHY}
    prepared = await house.prepare(house.change, action="scale", replicas=6, **target)
    assert isinstance(prepared, Prepared)
    tool, parsed = house.change, house.change.parse(prepared.call.arguments)
    Trace.of(house.estates, prepared).begin()
    assert (await tool.recover(prepared, parsed, house.scope, house.watch)).result.status == "unknown_outcome"
    again = replace(prepared, call=replace(prepared.call, id="other"))
    assert (await tool.run(again, parsed, house.scope, house.watch)).result.status == "ok"
    assert (await tool.recover(prepared, parsed, house.scope, house.watch)).result.status == "ok"


async def test_one_change_of_an_estate_at_a_time(house: KubernetesHouse, space: str) -> None:
    house.locks.held["estate/home"] = ("99", "terraform plan 1234")
    await house.write("app.yaml", hello(space))
    assert "The estate is in use: mission 99" in await house.refuse(house.apply, path="app.yaml", words=WHY)
