"""Replicas in a Ray cluster: deployed, looked at, removed."""

import contextlib
import logging
from collections.abc import Iterable, Iterator

import msgspec
import ray
from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from gateway.errors import ModelUnavailable
from gateway.speech.nodes.replica import Replica
from gateway.speech.orders import Plan
from gateway.speech.process import environment
from gateway.speech.queue import BATCH_MAX

HEALTH_PERIOD_S = 2.0
HEALTH_TIMEOUT_S = 5.0  # three times on end: for a process that is stopped, or a machine gone without a word
TARGET = 2.0  # windows that a replica has in hand; with more there come more replicas
UPSCALE_S, DOWNSCALE_S = 5.0, 300.0  # a model is fast to load, and a pause no reason to let it go
STOP_S = 20.0  # for what a replica that goes has in hand; so long one that is stopped keeps its core


class Standing(msgspec.Struct, frozen=True):
    """How an application stands."""

    deployed: bool
    status: str
    replicas: int = 0  # that have their model
    wanted: int = 0
    trouble: str | None = None


@contextlib.contextmanager
def connected(address: str) -> Iterator[str]:
    """A connection to the cluster, by its session's name. Raises ModelUnavailable."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # what matters is told as a window's end
    try:
        found = ray.init(
            address=address, namespace="clipwire", log_to_driver=False, logging_level=logging.ERROR
        )
    except (ConnectionError, RuntimeError, OSError, ValueError) as failure:
        reason = (str(failure).strip().splitlines() or ["it does not answer"])[0]
        raise ModelUnavailable(f"No Ray cluster is reached at {address}: {reason}") from failure
    try:
        yield str(found.address_info["session_dir"]).rpartition("/")[2]
    finally:
        ray.shutdown()


def deploy(plan: Plan) -> None:
    """Starts the replicas of a plan, or changes those that are there; they come up by and by."""
    serve.start(proxy_location=ProxyLocation.Disabled)
    deployment = serve.deployment(
        Replica,
        name="Replica",
        ray_actor_options={
            "num_cpus": plan.threads,
            "num_gpus": plan.gpus,
            "runtime_env": {"env_vars": environment(plan.threads)},
        },
        max_ongoing_requests=BATCH_MAX,  # with more, one replica takes what others could
        max_queued_requests=plan.queue_max,
        health_check_period_s=HEALTH_PERIOD_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=STOP_S,
        autoscaling_config={
            "min_replicas": plan.replicas_min,
            "max_replicas": plan.replicas_max,
            "target_ongoing_requests": TARGET,
            "upscale_delay_s": UPSCALE_S,
            "downscale_delay_s": DOWNSCALE_S,
            "metrics_interval_s": 1.0,
            "look_back_period_s": 5.0,
        },
    )
    target = serve.RunTarget(deployment.bind(plan), name=plan.name, route_prefix=None)  # no port is opened
    serve.run_many([target], wait_for_applications_running=False)


def lacking(plan: Plan, nodes: Iterable[tuple[str, float, float]]) -> str | None:
    """What a replica needs and none of the nodes has; None where one could be. Pure."""
    if any(cpus >= plan.threads and gpus >= plan.gpus for _, cpus, gpus in nodes):
        return None
    needs = f"{plan.threads} CPU" + (f" and {plan.gpus} GPU" if plan.gpus else "")
    return f"No node has {needs} for a worker (GATEWAY_WORKER_THREADS, GATEWAY_DEVICE={plan.device})."


def standing(plan: Plan) -> Standing:
    """How the application of a plan stands."""
    found = serve.status().applications.get(plan.name)
    if found is None or found.status.value in ("NOT_STARTED", "DELETING"):
        return Standing(False, "not deployed")
    replicas = wanted = 0
    trouble = None
    if found.message:
        trouble = found.message.strip().splitlines()[0]
    for one in found.deployments.values():
        replicas += one.replica_states.get("RUNNING", 0)
        wanted += sum(count for state, count in one.replica_states.items() if state != "STOPPING")
        if one.message:
            trouble = one.message.strip().splitlines()[-1]  # the one of a traceback that says why
    return Standing(True, found.status.value.lower(), replicas, wanted, trouble)


def handle(plan: Plan) -> DeploymentHandle:
    """Whom windows are sent to."""
    return serve.get_app_handle(plan.name).options(method_name="recognise", stream=True)


def remove(plan: Plan) -> bool:
    """Ends the replicas of a plan, and Serve with the last application; False when there were none."""
    try:
        if not standing(plan).deployed:
            return False
        serve.delete(plan.name)
        if not serve.status().applications:
            serve.shutdown()
    except RayServeException as failure:
        raise ModelUnavailable(f"Ray Serve does not answer: {failure}") from failure
    return True


def nodes() -> list[tuple[str, float, float]]:
    """The nodes that are alive: address, CPUs and GPUs."""
    return [
        (node["NodeManagerAddress"], node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
        for node in ray.nodes()
        if node["Alive"]
    ]
