from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.speech.queue import BATCH_MAX, BATCH_S_MAX, FIRSTS_MAX, Queue, Waiting


def wait(
    transcript: str, *, kind: int = 30, seconds: float = 10, first: bool = False, item: str = ""
) -> Waiting[str]:
    return Waiting(item or transcript, transcript=transcript, kind=kind, seconds=seconds, first=first)


def filled(*waiting: Waiting[str]) -> Queue[str]:
    queue: Queue[str] = Queue()
    for one in waiting:
        queue.put(one)
    return queue


def names(batch: list[Waiting[str]]) -> list[str]:
    return [waiting.item for waiting in batch]


def test_transcripts_take_turns() -> None:
    queue = filled(*(wait("long", item=f"long{n}") for n in range(9)), wait("short"))
    assert names(queue.take(10)) == ["long0"]
    assert names(queue.take(10)) == ["short"]
    assert names(queue.take(10)) == ["long1"]


def test_a_batch_mixes_transcripts_of_equal_kind() -> None:
    queue = filled(wait("a", item="a0"), wait("a", item="a1"), wait("b", kind=15), wait("c"))
    assert names(queue.take(1)) == ["a0", "c", "a1"]
    assert names(queue.take(1)) == ["b"]
    assert queue.take(1) == []


def test_a_batch_leaves_a_share_for_the_other_workers() -> None:
    queue = filled(*(wait(f"t{n}") for n in range(5)))
    assert [len(queue.take(2)) for _ in range(3)] == [3, 1, 1]


def test_a_batch_is_never_longer_than_a_newcomer_may_wait() -> None:
    queue = filled(*(wait("t", seconds=28) for _ in range(8)))
    assert len(queue.take(1)) == BATCH_S_MAX // 28


def test_first_windows_go_ahead_each_alone_but_not_for_ever() -> None:
    queue = filled(wait("old", item="old0"), wait("old", item="old1"))
    new = [f"new{n}" for n in range(FIRSTS_MAX + 2)]
    for one in new:
        queue.put(wait(one, item=one, first=True))
    order = [names(queue.take(1)) for _ in range(len(new) + 2)]
    assert order == [
        *([one] for one in new[:FIRSTS_MAX]), ["old0", "old1"], *([one] for one in new[FIRSTS_MAX:]), [],
    ]  # fmt: skip


def test_a_window_that_was_tried_goes_alone_and_first() -> None:
    queue = filled(*(wait(name) for name in "abcd"))
    batch = queue.take(1)
    for waiting in reversed(batch):
        queue.put_back(waiting)
    assert [names(queue.take(1)) for _ in range(5)] == [["a"], ["b"], ["c"], ["d"], []]
    assert all(waiting.tries == 1 for waiting in batch)


def test_a_removed_window_is_gone_and_may_be_removed_again() -> None:
    a, b = wait("a"), wait("b", first=True)
    queue = filled(a, b)
    for _ in range(2):
        queue.remove(a)
        queue.remove(b)
    assert len(queue) == 0
    assert queue.take(1) == []


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([15, 30]), st.floats(1, 30), st.booleans())),
    st.integers(1, 4),
)
def test_every_window_is_taken_once(many: list[tuple[str, int, float, bool]], workers: int) -> None:
    queue = filled(*(wait(t, kind=k, seconds=s, first=f, item=str(n)) for n, (t, k, s, f) in enumerate(many)))
    taken: list[str] = []
    while batch := queue.take(workers):
        assert len(batch) <= BATCH_MAX
        assert len({waiting.kind for waiting in batch}) == 1
        assert sum(waiting.seconds for waiting in batch) <= BATCH_S_MAX
        taken += names(batch)
    assert sorted(taken, key=int) == [str(n) for n in range(len(many))]
    assert len(queue) == 0


def test_draining_empties_everything() -> None:
    queue = filled(wait("a"), wait("b", first=True))
    assert len(queue.drain()) == 2
    assert len(queue) == 0
    assert queue.take(1) == []
