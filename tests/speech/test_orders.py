import msgspec
import pytest

from gateway.settings import Settings
from gateway.speech.messages import HEAD, Job, Options, Recognised, framed
from gateway.speech.orders import (
    Begun,
    Done,
    Drop,
    Full,
    Known,
    Lost,
    Order,
    Plan,
    State,
    from_driver,
    to_driver,
)

TOLD = [Order(1, Job(b"\0\1", ((0, 1),), Options(words=True), "en", {"traceparent": "x"}), True), Drop(2)]
SAID = [
    Begun(1, "host:1"), Known(1, "en", 0.5), Done(1, Recognised((), "en", None), 0.25), Full(1),
    Lost(1, "why"), State("session", True, 1, 2, "trouble"),
]  # fmt: skip


@pytest.mark.parametrize("message", TOLD, ids=lambda one: type(one).__name__)
def test_what_the_driver_is_told_it_understands(message: Order | Drop) -> None:
    assert to_driver.decode(framed(message)[HEAD.size :]) == message


@pytest.mark.parametrize("message", SAID, ids=lambda one: type(one).__name__)
def test_what_the_driver_says_is_understood(message: msgspec.Struct) -> None:
    assert from_driver.decode(framed(message)[HEAD.size :]) == message


def test_a_plan_crosses_as_json_and_its_name_is_the_models() -> None:
    plan = Plan.of(Settings(model="/srv/models/own", cluster_replicas_min=20, cluster_replicas_max=3))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert plan.name == "clipwire-own"
    assert (plan.replicas_min, plan.replicas_max) == (20, 20)
