import pytest

pytest.importorskip("ray", reason="there is no Ray: pip install clipwire[cluster]")

from hypothesis import given
from hypothesis import strategies as st

from gateway.speech.messages import Job, Options
from gateway.speech.nodes.replica import Asked, groups
from gateway.speech.orders import Order
from gateway.speech.queue import BATCH_S_MAX
from gateway.speech.windows import RATE

orders = st.builds(
    lambda number, seconds, prompt, alone: Order(
        number, Job(bytes(seconds * RATE * 2), (), Options(prompt=prompt)), alone
    ),
    st.integers(0, 99),
    st.integers(1, 30),
    st.sampled_from([None, "a"]),
    st.booleans(),
)


def kind(asked: Asked) -> tuple[object, ...]:
    return (asked.order.job.options.prompt,)


@given(st.lists(orders, max_size=8))
def test_each_order_is_in_one_group_of_its_kind_and_no_group_is_too_long(some: list[Order]) -> None:
    several = [Asked(order) for order in some]
    found = groups(several, kind)
    assert sorted(map(id, several)) == sorted(id(asked) for group in found for asked in group)
    for group in found:
        assert len({kind(asked) for asked in group}) == 1
        assert len(group) == 1 or not any(asked.order.alone for asked in group)
        assert sum(asked.seconds for asked in group) <= BATCH_S_MAX
    alone = [group[0].order.alone for group in found]
    assert alone == sorted(alone, reverse=True)
