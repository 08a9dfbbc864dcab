import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.exits import REST_S, REST_S_MAX, SLOW_MIN, Exits

URLS = ("http://user:hidden@a.example:1", "http://b.example:2", "https://c.example:3")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def numbers(exits: Exits, first: int | None = None) -> list[int]:
    return [exit.number for exit in exits.order(first)]


def test_they_take_turns() -> None:
    exits = Exits(URLS)
    firsts = [numbers(exits)[0] for _ in range(6)]
    assert sorted(firsts[:3]) == [1, 2, 3]
    assert firsts[:3] == firsts[3:]
    assert all(sorted(numbers(exits)) == [1, 2, 3] for _ in range(3))


def test_without_a_proxy_there_is_one_way() -> None:
    (exit,) = Exits().order()
    assert (exit.number, exit.url, exit.place) == (1, None, "direct")


def test_the_one_that_was_asked_for_goes_first_unless_its_proxy_is_broken(clock: Clock) -> None:
    exits = Exits(URLS, clock)
    assert numbers(exits, 2)[0] == 2
    one, two, _ = exits._all
    exits.told(two, "IP_BLOCKED")  # for pages; media may still come
    assert numbers(exits, 2)[0] == 2
    assert numbers(exits)[-1] == 2
    exits.told(one, "PROXY_ERROR")
    assert numbers(exits, 1)[0] == 3
    clock.now += REST_S
    assert numbers(exits, 1)[0] == 1
    assert numbers(exits, 99) in ([1, 2, 3], [2, 3, 1], [3, 1, 2])  # of another setting


def test_rests_grow_and_one_trouble_counts_once(clock: Clock) -> None:
    exits = Exits(URLS[:1], clock)
    (exit,) = exits._all
    for times in range(12):
        for _ in range(5):
            exits.told(exit, "IP_BLOCKED")
        (health,) = exits.report()
        assert health["failures"] == times + 1
        assert health["rests_s"] == min(REST_S * 2**times, REST_S_MAX)
        assert health["state"] == "resting"
        clock.now += min(REST_S * 2**times, REST_S_MAX)
        assert exits.report()[0]["state"] == "ok"
    exits.told(exit, None)
    assert exits.report() == [{"exit": 1, "state": "ok", "code": None, "failures": 0, "rests_s": 0}]


@pytest.mark.parametrize(
    "code", [None, "VIDEO_PRIVATE", "GEO_BLOCKED", "LOGIN_REQUIRED", "VIDEO_UNAVAILABLE"]
)
def test_an_answer_of_the_site_clears(clock: Clock, code: str | None) -> None:
    exits = Exits(URLS, clock)
    exits.told(exits._all[0], "PROXY_ERROR")
    exits.told(exits._all[0], code)
    assert exits.report()[0]["failures"] == 0


@pytest.mark.parametrize("code", ["BUSY", "EXTRACTION_FAILED", "INTERNAL_ERROR"])
def test_what_is_not_about_the_exit_changes_nothing(clock: Clock, code: str) -> None:
    exits = Exits(URLS, clock)
    before = exits.report()
    exits.told(exits._all[0], code)
    assert exits.report() == before


def test_one_slow_post_is_not_the_exits_fault_but_many_are(clock: Clock) -> None:
    exits = Exits(URLS, clock)
    for times in range(SLOW_MIN):
        assert exits.report()[0]["state"] == "ok", times
        exits.told(exits._all[0], "UPSTREAM_TIMEOUT")
    assert exits.report()[0]["state"] == "resting"


def test_the_resting_are_tried_last_and_the_soonest_first(clock: Clock) -> None:
    exits = Exits(URLS, clock)
    one, two, _ = exits._all
    exits.told(two, "IP_BLOCKED")
    clock.now += 1
    exits.told(one, "IP_BLOCKED")
    assert [numbers(exits) for _ in range(3)] == [[3, 2, 1]] * 3


def test_nothing_that_is_printed_has_the_secret() -> None:
    exits = Exits(URLS)
    assert [exit.place for exit in exits._all] == ["a.example:1", "b.example:2", "c.example:3"]
    assert "hidden" not in f"{exits._all} {exits.report()}"


CODES = st.sampled_from([None, "IP_BLOCKED", "PROXY_ERROR", "UPSTREAM_TIMEOUT", "BUSY", "VIDEO_PRIVATE"])


@given(st.lists(st.tuples(st.integers(0, 2), CODES, st.floats(0, 100)), max_size=40))
def test_all_are_tried_whatever_happens_and_the_working_ones_before_the_resting(
    told: list[tuple[int, str | None, float]],
) -> None:
    clock = Clock()
    exits = Exits(URLS, clock)
    for number, code, seconds in told:
        exits.told(exits._all[number], code)
        clock.now += seconds
        states = {one["exit"]: one["state"] for one in exits.report()}
        order = [states[number] for number in numbers(exits)]
        assert sorted(numbers(exits)) == [1, 2, 3]
        assert order == sorted(order)  # ok, then resting
