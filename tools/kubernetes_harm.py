"""What an object of a manifest can harm. A short list of plain kinds is an app's own affair; everything else is more. Pure."""

from collections.abc import Iterator
from typing import Any, Final, cast

from bot.domain.calls import CallClass
from tools.kubernetes_manifest import Thing
from tools.kubernetes_rows import Fields, fields, rows_of

Harm = tuple[CallClass, str]
WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "Job", "CronJob", "Pod"})
# Groups of Kubernetes itself: a kind of another group is a custom resource, whatever its name.
PLAIN: Final = {
    "v1": frozenset({"Pod", "Service", "ConfigMap", "Secret", "ServiceAccount", "Namespace", "PersistentVolumeClaim"}),
    "apps/v1": frozenset({"Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"}),
    "batch/v1": frozenset({"Job", "CronJob"}),
    "networking.k8s.io/v1": frozenset({"Ingress"}),
    "autoscaling/v2": frozenset({"HorizontalPodAutoscaler"}),
    "policy/v1": frozenset({"PodDisruptionBudget"}),
}
RIGHTS: Final = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
     "APIService", "CertificateSigningRequest", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
)  # fmt: skip
OFFICIAL: Final = ("v1", "apps/", "batch/", "policy/", "autoscaling/", "extensions/")
OF_ACCOUNTS: Final = "kubernetes.io/service-account-token"  # a Secret of this type
STANDARD: Final = "pod-security.kubernetes.io/"
HOST_FIELDS: Final = ("hostNetwork", "hostPID", "hostIPC")
PODS: Final = (("spec",), ("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))


def harm(thing: Thing) -> Harm | None:
    """The class above `change` and why, or None for what concerns one app."""
    if thing.kind in RIGHTS:
        given = fields(thing.body, "roleRef").get("name")
        return CallClass.DESTROY, f"{thing.label} gives rights" + (f" ({given})" if given else "")
    if not _official(thing):
        return (
            CallClass.UNKNOWN,
            f"{thing.label} is of {thing.api_version}: what its controller does with it is not known here",
        )
    if thing.kind not in PLAIN.get(thing.api_version, ()):
        return CallClass.DESTROY, f"{thing.label} concerns more than one app of the cluster"
    space = thing.name if thing.kind == "Namespace" else thing.namespace
    if space.startswith("kube-"):
        return CallClass.DESTROY, f"{thing.label} is part of the cluster's own system"
    reasons = list(dict.fromkeys(_reaches(thing)))
    return (CallClass.DESTROY, f"{thing.label} {', '.join(reasons)}") if reasons else None


def _official(thing: Thing) -> bool:
    group = thing.api_version.partition("/")[0]
    return thing.api_version.startswith(OFFICIAL) or group.endswith(".k8s.io")


def _reaches(thing: Thing) -> Iterator[str]:
    spec, about = fields(thing.body, "spec"), fields(thing.body, "metadata")
    if thing.kind == "Secret" and thing.body.get("type") == OF_ACCOUNTS:
        yield "makes a token with the rights of a service account"
    if thing.kind == "Namespace" and any(str(name).startswith(STANDARD) for name in fields(about, "labels")):
        yield "decides what its pods may do"
    if thing.kind == "ServiceAccount" and about.get("annotations"):
        yield "may stand for an account elsewhere (annotations)"
    if thing.kind == "Ingress" and any("snippet" in str(name) for name in fields(about, "annotations")):
        yield "writes into the configuration of the ingress itself"
    if thing.kind == "Service" and spec.get("externalIPs"):
        yield "takes the traffic of addresses that it names (externalIPs)"
    if thing.kind in {"Deployment", "StatefulSet", "ReplicaSet"} and str(spec.get("replicas")) in {"0", "0.0"}:
        yield "gets no replicas: it is taken out of service"
    if thing.kind in WORKLOADS and (reaches := sorted(set(_host_reach(thing.body)))):
        yield f"reaches the host: {', '.join(reaches)}"
    if thing.kind in WORKLOADS:
        for path in PODS:
            pod = fields(thing.body, *path)
            for name in ("serviceAccountName", "serviceAccount"):
                if pod.get(name) not in {None, "", "default"}:
                    yield f"runs with the rights of the service account {pod[name]}"


def _host_reach(body: Fields) -> Iterator[str]:
    for path in PODS:
        spec = fields(body, *path)
        yield from (name for name in HOST_FIELDS if spec.get(name))
        if fields(spec, "securityContext", "windowsOptions").get("hostProcess"):
            yield "hostProcess"
        if fields(spec, "securityContext").get("sysctls"):
            yield "sysctls"
        for volume in rows_of(spec.get("volumes")):
            if "hostPath" in volume:
                yield f"hostPath {fields(volume, 'hostPath').get('path')}"
        for part in ("containers", "initContainers", "ephemeralContainers"):
            for container in rows_of(spec.get(part)):
                yield from _container_reach(container)


def _container_reach(container: Fields) -> Iterator[str]:
    context = fields(container, "securityContext")
    if context.get("privileged"):
        yield f"privileged {container.get('name')}"
    if fields(context, "windowsOptions").get("hostProcess"):
        yield "hostProcess"
    if context.get("procMount") not in {None, "Default"}:
        yield f"procMount {context.get('procMount')}"
    if added := fields(context, "capabilities").get("add"):
        yield f"capabilities {', '.join(map(str, cast('list[Any]', added)))}"
    for port in rows_of(container.get("ports")):
        if port.get("hostPort"):
            yield f"hostPort {port.get('hostPort')}"
