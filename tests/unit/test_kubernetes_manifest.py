"""Manifests as data: what differs, what can harm, what may be shown. Pure."""

from typing import Any

import pytest

from bot.domain.calls import CallClass
from tools.kubernetes_harm import harm
from tools.kubernetes_manifest import ManifestError, differences, packed, read, unpacked
from tools.kubernetes_owned import effects, removals, unseen
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
        ("{apiVersion: v1, kind: Secret, metadata: {name: a}}", ""),
        ("{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/service-account-token}", "rights of a service account"),
        ("{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}", ""),
        ("{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, annotations: {aws/role: r}}}", "an account elsewhere"),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: a}}", ""),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/enforce: privileged}}}", "what its pods may do"),
        ("{apiVersion: v1, kind: Node, metadata: {name: cp1}, spec: {taints: []}}", "more than one app"),
        ("{apiVersion: v1, kind: PersistentVolume, metadata: {name: a}, spec: {hostPath: {path: /}}}", "more than one app"),
        ("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, namespace: n}}", "more than one app"),
        ("{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}}", "more than one app"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns, namespace: kube-system}}", "the cluster's own system"),
        ("{apiVersion: example.com/v1, kind: Deployment, metadata: {name: a}}", "is not known here"),
        ("{apiVersion: traefik.io/v1alpha1, kind: Middleware, metadata: {name: a, namespace: n}}", "is not known here"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {externalIPs: [1.1.1.1]}}", "externalIPs"),
        ("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a, annotations: {x/configuration-snippet: y}}}", "ingress itself"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {serviceAccountName: admin}}", "the service account admin"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {serviceAccountName: default, containers: [{name: c, ports: [{containerPort: 80}]}]}}", ""),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, ports: [{containerPort: 80, hostPort: 80}]}]}}", "hostPort 80"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {securityContext: {windowsOptions: {hostProcess: true}}}}", "hostProcess"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, securityContext: {procMount: Unmasked}}]}}", "procMount"),
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
    assert (said is None) if not words else said is not None and words in said[1]


def test_only_plain_kinds_are_plain_changes_and_what_a_controller_does_is_unknown() -> None:
    custom = harm(thing("{apiVersion: example.com/v1, kind: Deployment, metadata: {name: a}}"))
    rights = harm(thing("{apiVersion: v1, kind: Node, metadata: {name: a}}"))
    assert custom is not None and custom[0] is CallClass.UNKNOWN
    assert rights is not None and rights[0] is CallClass.DESTROY


def owned(*entries: tuple[str, Any], **body: Any) -> dict[str, Any]:
    """A live object and who set what."""
    managed = [
        {"manager": who, "operation": "Apply" if who == "watchbill" else "Update", "fieldsV1": what}
        for who, what in entries
    ]
    return {**PLAIN, "metadata": {**PLAIN["metadata"], "managedFields": managed, "uid": "u"}, **body}


OURS: dict[str, Any] = {
    "f:spec": {
        "f:replicas": {},
        "f:selector": {},
        "f:paused": {},
        "f:containers": {
            'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}},
            'k:{"name":"b"}': {".": {}, "f:name": {}},
        },
        "f:finalizers": {'v:"x"': {}, 'v:"y"': {}},
        "f:rules": {},
    }
}
LIVE: dict[str, Any] = {
    "replicas": 2, "selector": {"app": "a", "tier": "web"}, "paused": True,
    "containers": [{"name": "a", "image": "i", "pullPolicy": "Always"}, {"name": "b"}, {"name": "injected"}],
    "finalizers": ["x", "y", "z"], "rules": [{"name": "r", "host": "h"}, {"name": "s", "host": "t"}],
}  # fmt: skip
SAME = {**LIVE, "containers": [{"name": "a", "image": "i"}, {"name": "b"}], "finalizers": ["x", "y"]}


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        (SAME, []),
        ({key: value for key, value in SAME.items() if key != "paused"}, ["- spec.paused: true"]),
        ({**SAME, "selector": {"app": "a"}}, ["- spec.selector.tier: web"]),
        ({**SAME, "containers": [{"name": "a", "image": "i"}]}, ["- spec.containers[b].name: b"]),
        ({**SAME, "containers": [{"name": "a"}, {"name": "b"}]}, ["- spec.containers[a].image: i"]),
        ({**SAME, "finalizers": ["y"]}, ["- spec.finalizers: x"]),
        ({**SAME, "rules": [{"name": "r", "host": "h"}]}, ["- spec.rules[s].name: s", "- spec.rules[s].host: t"]),
        (
            {key: value for key, value in SAME.items() if key != "containers"},
            ["- spec.containers[a].name: a", "- spec.containers[a].image: i", "- spec.containers[a].pullPolicy: Always",
             "- spec.containers[b].name: b"],
        ),
    ],
)  # fmt: skip
def test_what_the_file_no_longer_sets_is_shown_as_gone(spec: dict[str, Any], lines: list[str]) -> None:
    live = owned(("watchbill", OURS), spec=LIVE)
    assert removals({**PLAIN, "spec": spec}, live) == lines


def test_what_another_manager_set_as_well_stays() -> None:
    theirs: dict[str, Any] = {
        "f:spec": {"f:paused": {}, "f:containers": {'k:{"name":"b"}': {"f:name": {}}}, "f:finalizers": {'v:"x"': {}}}
    }
    live = owned(("watchbill", OURS), ("somebody", theirs), spec=LIVE)
    left = {**SAME, "containers": [{"name": "a", "image": "i"}], "finalizers": ["y"]}
    del left["paused"]
    assert removals({**PLAIN, "spec": left}, live) == []
    assert removals({**PLAIN, "spec": left}, None) == []
    assert removals({**PLAIN, "spec": left}, owned(("somebody", OURS), spec=LIVE)) == []


def test_a_list_that_is_one_whole_is_set_anew_whoever_owned_it() -> None:
    live = owned(spec=LIVE)
    assert removals({**PLAIN, "spec": {"rules": [{"name": "r", "host": "h"}]}}, live) == [
        "- spec.rules[s].name: s", "- spec.rules[s].host: t",
    ]  # fmt: skip
    assert removals({**PLAIN, "spec": {"rules": [{"name": "r"}, {"name": "s", "host": "t"}]}}, live) == [
        "- spec.rules[r].host: h"
    ]


def test_the_dry_run_may_change_only_what_the_card_said() -> None:
    live = owned(("watchbill", OURS), spec=LIVE)
    after = {
        **live,
        "metadata": {**live["metadata"], "generation": 9},
        "spec": {**LIVE, "replicas": 3},
        "status": {"x": 1},
    }
    assert effects(live, live) == []
    assert effects(live, after) == ["spec.replicas"]
    less = {**after, "spec": {key: value for key, value in after["spec"].items() if key != "paused"}}
    assert effects(live, less) == ["spec.replicas", "spec.paused"]
    assert unseen(["spec.replicas", "spec.paused"], ["~ spec.replicas: 2 → 3"]) == ["spec.paused"]
    assert (
        unseen(["spec.containers[a].image", "metadata.labels"], ["+ spec.containers: x", "- metadata.labels.a: b"])
        == []
    )
    assert unseen(["spec.replicasOther"], ["~ spec.replicas: 2 → 3"]) == ["spec.replicasOther"]


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
