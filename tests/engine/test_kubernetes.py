"""The kubernetes stand-in against a real API server, through the engine and the unchanged SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.engine.support import Api, Json, Project, Ran, kubeconfig

HEAD = """
import pulumi, pulumi_kubernetes as k8s
config = pulumi.Config()
NAMESPACE = config.require("namespace")
"""

CONFIG_MAP = (
    HEAD
    + """
data = {"a": config.get("a") or "1"}
made = k8s.core.v1.ConfigMap("settings", metadata={"name": "settings", "namespace": NAMESPACE}, data=data)
"""
)

JOB = (
    HEAD
    + """
job = k8s.batch.v1.Job(
    "job",
    metadata={"name": "job", "namespace": NAMESPACE,
              "annotations": {"pulumi.com/replaceUnready": config.get("again") or "false"}},
    spec={
        "backoff_limit": 0,
        "template": {
            "metadata": {"annotations": {"token": config.get("token") or "one"}},
            "spec": {"restart_policy": "Never", "containers": [{"name": "main", "image": "none:1",
                     "env": [{"name": "EMPTY", "value": ""}],
                     "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}],
                     "host_pid": False, "volumes": [{"name": "scratch", "empty_dir": {}}]},
        },
    },
    opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="120s", update="120s")),
)
"""
)


@pytest.fixture
def cluster(project: Project, api: Api, request: pytest.FixtureRequest) -> Iterator[Project]:
    """The project, with its provider on the API server and a namespace of its own."""
    namespace = f"test-{abs(hash(request.node.name)) % 10**8}"
    api("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    project.variables["KUBECONFIG"] = str(api.kubeconfig)
    yield project.config(namespace=namespace)
    api("DELETE", f"/api/v1/namespaces/{namespace}")


def where(project: Project, kind: str, name: str = "") -> str:
    group = {"jobs": "/apis/batch/v1", "deployments": "/apis/apps/v1", "daemonsets": "/apis/apps/v1"}.get(
        kind, "/api/v1"
    )
    return f"{group}/namespaces/{project.setting('namespace')}/{kind}" + (f"/{name}" if name else "")


def finish_job(api: Api, path: str, condition: str, reason: str = "", message: str = "") -> None:
    """Play the part of node and Job controller: end the Job's pod and let the controller see it."""
    pods = path.replace("/apis/batch/v1", "/api/v1").rpartition("/jobs/")[0] + "/pods"
    job = path.rpartition("/")[2]
    pod = api.until(lambda: api("GET", pods, labelSelector=f"job-name={job}")["items"])[0]
    terminated = {"exitCode": 0 if condition == "Complete" else 3, "reason": reason, "message": message}
    status = {
        "phase": "Succeeded" if condition == "Complete" else "Failed",
        "containerStatuses": [
            {
                "name": "main",
                "image": "none:1",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": terminated},
            }
        ],
    }
    api("PATCH", f"{pods}/{pod['metadata']['name']}/status", {"status": status}, "application/merge-patch+json")


def test_objects_are_made_and_deleted(cluster: Project, api: Api) -> None:
    ran = cluster.write(CONFIG_MAP).up().ok()
    assert "stand-in for pulumi-resource-kubernetes" in ran.out
    assert api("GET", where(cluster, "configmaps", "settings"))["data"] == {"a": "1"}
    assert cluster.steps() == {"settings": "same"}
    cluster.destroy().ok()
    assert api("GET", where(cluster, "configmaps", "settings")) == {"code": 404}


def test_the_json_of_a_preview_holds_no_word_of_the_stand_in(cluster: Project) -> None:
    ran = cluster.write(CONFIG_MAP).preview("--json").ok()
    assert "stand-in" not in ran.out
    json.loads(ran.out)


def test_an_object_that_exists_is_not_taken_over(cluster: Project, api: Api) -> None:
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "theirs"}}
    api("POST", where(cluster, "configmaps"), theirs)
    ran = cluster.write(CONFIG_MAP).up()
    assert ran.status != 0
    assert 'configmaps "settings" already exists' in ran.out
    assert api("GET", where(cluster, "configmaps", "settings"))["data"] == {"a": "theirs"}


def test_changed_data_replaces_a_config_map_and_deletes_a_fixed_name_first(cluster: Project, api: Api) -> None:
    cluster.write(CONFIG_MAP).up().ok()
    before = api("GET", where(cluster, "configmaps", "settings"))["metadata"]["uid"]
    cluster.config(a="2")
    assert cluster.steps()["settings"] in ("replace", "delete-replaced", "create-replacement")
    cluster.up().ok()
    after = api("GET", where(cluster, "configmaps", "settings"))
    assert (after["data"], after["metadata"]["uid"] != before) == ({"a": "2"}, True)


def test_a_nameless_object_gets_a_name_and_keeps_it(cluster: Project) -> None:
    program = (
        HEAD
        + """
made = k8s.core.v1.ServiceAccount("robot", metadata={"namespace": NAMESPACE, "labels": {"v": config.get("v") or "1"}})
pulumi.export("name", made.metadata["name"])
"""
    )
    cluster.write(program).up().ok()
    first = cluster.run("stack", "output", "name", "--stack", "test").ok().out.strip()
    cluster.config(v="2").up().ok()
    assert first.startswith("robot-") and len(first) == len("robot-") + 8
    assert cluster.run("stack", "output", "name", "--stack", "test").ok().out.strip() == first


def test_drift_shows_after_a_refresh_and_is_mended_by_up(cluster: Project, api: Api) -> None:
    program = (
        HEAD
        + """
k8s.core.v1.ServiceAccount("robot", metadata={"name": "robot", "namespace": NAMESPACE, "labels": {"v": "ours"}})
"""
    )
    cluster.write(program).up().ok()
    path = where(cluster, "serviceaccounts", "robot")
    api(
        "PATCH",
        path,
        {"metadata": {"labels": {"v": "theirs", "more": "x"}}},
        "application/merge-patch+json",
        fieldManager="kubectl-edit",
    )
    cluster.refresh().ok()
    assert cluster.steps()["robot"] == "update"
    cluster.up().ok()
    assert api("GET", path)["metadata"]["labels"] == {"v": "ours"}  # kubectl's fields were taken over
    assert cluster.refresh("--expect-no-changes").status == 0


def test_a_deleted_object_is_gone_from_the_state_after_a_refresh(cluster: Project, api: Api) -> None:
    cluster.write(CONFIG_MAP).up().ok()
    api("DELETE", where(cluster, "configmaps", "settings"))
    cluster.refresh().ok()
    assert cluster.steps()["settings"] == "create"


def test_a_field_of_another_manager_is_a_conflict_unless_forced(cluster: Project, api: Api) -> None:
    program = (
        HEAD
        + """
force = {"pulumi.com/patchForce": "true"} if config.get_bool("force") else {}
k8s.core.v1.ServiceAccount("robot", metadata={"name": "robot", "namespace": NAMESPACE, "annotations": force,
                           "labels": {"v": config.get("v") or "1"}})
"""
    )
    cluster.write(program).up().ok()
    path = where(cluster, "serviceaccounts", "robot")
    api(
        "PATCH",
        path,
        {"metadata": {"labels": {"v": "theirs"}}},
        "application/merge-patch+json",
        fieldManager="other-controller",
    )
    ran = cluster.config(v="2").up()
    assert ran.status != 0
    assert 'conflict with "other-controller"' in ran.out
    assert api("GET", path)["metadata"]["labels"] == {"v": "theirs"}
    cluster.config(force="true").up().ok()
    assert api("GET", path)["metadata"]["labels"] == {"v": "2"}


def test_a_job_is_waited_for_and_replaced_for_a_new_template(cluster: Project, api: Api) -> None:
    process = cluster.write(JOB).start("up", "--yes", "--skip-preview", "--stack", "test")
    path = where(cluster, "jobs", "job")
    finish_job(api, path, "Complete")
    out, _ = process.communicate(timeout=60)
    Ran(process.returncode, out, 0).ok()
    assert cluster.steps()["job"] == "same"  # 1000m, 1024Mi, "", false and {} are no differences
    assert cluster.refresh("--expect-no-changes").status == 0
    before = api("GET", path)["metadata"]["uid"]
    process = cluster.config(token="two").start("up", "--yes", "--skip-preview", "--stack", "test")
    api.until(lambda: api("GET", path).get("metadata", {}).get("uid") not in (None, before))
    finish_job(api, path, "Complete")
    out, _ = process.communicate(timeout=60)
    Ran(process.returncode, out, 0).ok()


def test_a_failed_job_says_why_and_the_next_up_replaces_it_if_asked(cluster: Project, api: Api) -> None:
    process = cluster.write(JOB).start("up", "--yes", "--skip-preview", "--stack", "test")
    path = where(cluster, "jobs", "job")
    finish_job(api, path, "Failed", "Error", "no NVIDIA driver on this host")
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "BackoffLimitExceeded" in out and "no NVIDIA driver on this host" in out, out
    before = api("GET", path)["metadata"]["uid"]
    assert next(entry for entry in cluster.resources() if entry["type"].endswith(":Job"))["initErrors"]
    process = cluster.config(again="true").start("up", "--yes", "--skip-preview", "--stack", "test")
    api.until(lambda: api("GET", path).get("metadata", {}).get("uid") not in (None, before))
    finish_job(api, path, "Complete")
    out, _ = process.communicate(timeout=60)
    Ran(process.returncode, out, 0).ok()


def test_a_job_that_does_not_end_times_out_and_stays_in_the_state(cluster: Project) -> None:
    ran = cluster.write(JOB.replace('create="120s"', 'create="2s"')).up()
    assert ran.status != 0
    assert "'job' timed out waiting to be Ready" in ran.out
    assert "kubernetes:batch/v1:Job" in {entry["type"] for entry in cluster.resources()}


def test_a_daemon_set_without_a_fitting_node_is_ready(cluster: Project) -> None:
    program = _workload("DaemonSet", '{"node_selector": {"gpu": "yes"}}').replace('create="3s"', 'create="90s"')
    cluster.write(HEAD + program).up().ok()


def test_a_deployment_that_gets_no_pods_names_their_state(cluster: Project) -> None:
    ran = cluster.write(HEAD + _workload("Deployment", "{}")).up()
    assert ran.status != 0
    assert ("timed out waiting to be Ready" in ran.out and "Minimum" in ran.out) or "ReplicaSet" in ran.out, ran.out


def _workload(kind: str, more: str) -> str:
    return f"""
k8s.apps.v1.{kind}(
    "work",
    metadata={{"name": "work", "namespace": NAMESPACE}},
    spec={{"selector": {{"match_labels": {{"app": "work"}}}}, "template": {{"metadata": {{"labels": {{"app": "work"}}}},
          "spec": {{"containers": [{{"name": "main", "image": "none:1"}}], **{more}}}}}}},
    opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="3s")),
)
"""


def test_without_a_cluster_previews_work_and_everything_else_says_so(cluster: Project, api: Api) -> None:
    cluster.write(CONFIG_MAP).up().ok()
    off = cluster.folder / "off.json"
    off.write_text(json.dumps({**kubeconfig("https://127.0.0.1:9", api.token)}))
    cluster.variables["KUBECONFIG"] = str(off)
    assert cluster.steps() == {"settings": "same"}
    cluster.config(a="2")
    assert "settings" in cluster.steps()
    cluster.write(CONFIG_MAP + CONFIG_MAP.replace('"settings"', '"more"').partition("NAMESPACE")[2].partition("\n")[2])
    assert cluster.steps()["more"] == "create"
    ran = cluster.refresh()
    assert ran.status != 0 and "unreachable cluster" in ran.out
    ran = cluster.up()
    assert ran.status != 0 and "configured Kubernetes cluster is unreachable" in ran.out


def test_a_secret_stays_encrypted_in_the_state(cluster: Project, api: Api) -> None:
    program = (
        HEAD
        + """
value = pulumi.Output.secret("c4n4ry-value")
k8s.core.v1.Secret("hidden", metadata={"name": "hidden", "namespace": NAMESPACE}, string_data={"key": value})
k8s.core.v1.ConfigMap("half", metadata={"name": "half", "namespace": NAMESPACE}, data={"key": value})
"""
    )
    cluster.write(program).up().ok()
    assert cluster.steps() == {"hidden": "same", "half": "same"}
    cluster.refresh().ok()
    kept = json.dumps(cluster.resources())
    assert "c4n4ry-value" not in kept and "YzRuNHJ5LXZhbHVl" not in kept


def test_kinds_that_it_does_not_have_are_refused_by_name(cluster: Project) -> None:
    program = HEAD + 'k8s.core.v1.ConfigMapPatch("patch", metadata={"name": "x", "namespace": NAMESPACE})\n'
    ran = cluster.write(program).preview()
    assert ran.status != 0
    assert "kubernetes:core/v1:ConfigMapPatch is not part of this stand-in" in ran.out


def test_the_kubeconfig_may_be_text_and_its_rotation_replaces_nothing(cluster: Project, api: Api) -> None:
    program = CONFIG_MAP.replace(
        'data = {"a"',
        'provider = k8s.Provider("cluster", kubeconfig=config.require("kubeconfig"), namespace=NAMESPACE)\ndata = {"a"',
    ).replace(', "namespace": NAMESPACE}, data=data)', "}, data=data, opts=pulumi.ResourceOptions(provider=provider))")
    text: Json = kubeconfig(api.url, api.token)
    cluster.variables.pop("KUBECONFIG")
    cluster.write(program).config(kubeconfig=json.dumps(text)).up().ok()
    text["users"][0]["user"]["username"] = "rotated"
    cluster.config(kubeconfig=json.dumps(text))
    assert cluster.steps()["settings"] == "same"
