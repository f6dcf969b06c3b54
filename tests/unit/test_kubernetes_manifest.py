"""Manifests as data: what differs, what can harm, what may be shown. Pure."""

from typing import Any

import pytest

from tools.kubernetes_manifest import ManifestError, differences, harm, packed, read, unpacked
from tools.kubernetes_rows import pod_row, readiness, rollout, shown

PLAIN: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}}


def thing(text: str) -> Any:
    (one,) = read(text)
    return one


def test_only_what_the_file_sets_is_compared() -> None:
    live = {
        **PLAIN,
        "status": {"x": 1},
        "spec": {"replicas": 2, "paused": True, "ports": [{"port": 80, "nodePort": 31000}]},
    }
    assert differences({**PLAIN, "spec": {"replicas": 2, "ports": [{"port": 80}]}}, live) == []
    assert differences({**PLAIN, "spec": {"replicas": 3, "ports": [{"port": 81}]}}, live) == [
        "~ spec.replicas: 2 → 3",
        "+ spec.ports[81].port: 81",
    ]
    assert differences({"spec": {"args": ["a", "b"]}}, {"spec": {"args": ["a"]}}) == ['~ spec.args: ["a"] → ["a", "b"]']
    assert differences({"a": {"b": 1}}, None) == ["+ a.b: 1"]


def test_what_is_bound_is_what_is_sent() -> None:
    things = read(
        "{apiVersion: v1, kind: Namespace, metadata: {name: b}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}, data: {x: 'ü 1'}}"
    )
    assert unpacked(packed(things)) == things
    assert [
        one.kind
        for one in read(
            "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}, {apiVersion: v1, kind: Namespace, metadata: {name: b}}]}"
        )
    ] == ["Namespace", "ConfigMap"]


def test_a_name_twice_is_one_too_many() -> None:
    with pytest.raises(ManifestError, match="stands twice"):
        read(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", ""),
        ("{apiVersion: r/v1, kind: ClusterRoleBinding, metadata: {name: a}, roleRef: {name: cluster-admin}}", "gives rights (cluster-admin)"),
        ("{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 0}}", "taken out of service"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {volumes: [{name: x, hostPath: {path: /}}]}}", "hostPath /"),
        ("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {template: {spec: {containers: [{name: c, securityContext: {privileged: true}}]}}}}", "privileged c"),
        ("{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {jobTemplate: {spec: {template: {spec: {hostPID: true}}}}}}", "hostPID"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {initContainers: [{name: c, securityContext: {capabilities: {add: [NET_ADMIN]}}}]}}", "capabilities NET_ADMIN"),
    ],
)  # fmt: skip
def test_what_can_harm_is_named(text: str, words: str) -> None:
    said = harm(thing(text))
    assert words in said if words else said == ""


def test_rule_22_a_secret_is_keys_and_sizes_wherever_it_stands() -> None:
    secret = {
        "kind": "Secret",
        "metadata": {
            "name": "s",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "x": "hunter2"},
        },
        "data": {"p": "aHVudGVyMg=="},
        "stringData": {"q": "hunter2"},
    }
    for one in (
        secret,
        {"kind": "SecretList", "items": [secret]},
        {"kind": "SecretList", "items": [{**secret, "kind": None} | {"kind": "Secret"}]},
    ):
        text = str(shown(one))
        assert "hunter2" not in text and "aHVudGVyMg" not in text and "7 bytes" in text
    listed = {"kind": "SecretList", "items": [{key: value for key, value in secret.items() if key != "kind"}]}
    assert "hunter2" not in str(shown(listed))


def test_rollouts_are_judged_as_kubectl_does() -> None:
    stuck = {
        "kind": "Deployment",
        "metadata": {"generation": 2},
        "spec": {"replicas": 1},
        "status": {
            "observedGeneration": 2,
            "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"}],
        },
    }
    assert rollout(stuck)[1] == "stuck: timed out"
    old = {
        "kind": "Deployment",
        "metadata": {"generation": 3},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    }
    assert rollout(old)[0] is False and rollout({**old, "metadata": {"generation": 2}})[0] is True
    daemons = {
        "kind": "DaemonSet",
        "metadata": {},
        "spec": {},
        "status": {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2},
    }
    assert rollout(daemons)[1] == "under way: 3 of 3 updated, 2 of 3 available"


def test_readiness_names_the_checks_that_failed() -> None:
    assert readiness("[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed") == (["ping"], ["etcd"])


def test_why_a_pod_waits() -> None:
    pending: dict[str, Any] = {
        "metadata": {"name": "a"},
        "spec": {"containers": [{}]},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
        },
    }
    assert pod_row(pending)["why"] == "Unschedulable"
