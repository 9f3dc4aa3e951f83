from device_gateway.inbox import Inbox
from device_gateway.readings import Message


def messages(count: int, *, mid: int = 1, size: int = 10) -> list[Message]:
    return [Message("t", b"x" * size, size, n, 1, mid) for n in range(count)]


def taken(inbox: Inbox, most: int = 100, most_bytes: int = 10_000) -> int:
    return len(inbox.take(most=most, most_bytes=most_bytes, linger=0, timeout=0))


def test_what_is_put_is_taken_in_order_and_counts_until_it_is_done() -> None:
    inbox = Inbox(most=10)
    inbox.put(messages(3))
    assert [m.received for m in inbox.take(most=2, most_bytes=1000, linger=0, timeout=0)] == [0, 1]
    assert inbox.held == 3
    assert inbox.oldest == 0
    inbox.done()
    assert inbox.held == 1
    assert inbox.oldest == 2


def test_a_batch_ends_where_its_bytes_do_but_holds_one_message_at_least() -> None:
    inbox = Inbox(most=10)
    inbox.put(messages(3, size=400))
    assert taken(inbox, most_bytes=1000) == 2
    assert taken(inbox, most_bytes=100) == 1


def test_it_is_full_by_messages_and_by_bytes_and_roomy_at_half() -> None:
    inbox = Inbox(most=4)
    inbox.put(messages(4))
    assert inbox.full
    taken(inbox, most=2)
    assert inbox.full
    inbox.done()
    assert inbox.roomy


def test_few_large_messages_fill_it_too() -> None:
    inbox = Inbox(most=100, most_bytes=1000)
    inbox.put(messages(1, size=1000))
    assert inbox.full


def test_messages_of_qos_0_are_dropped_and_counted_beyond_their_bound_and_do_not_fill_it() -> None:
    inbox = Inbox(most=4)
    assert inbox.put(messages(10, mid=0)) == 6
    assert not inbox.full
    assert inbox.put(messages(3)) == 0
    assert taken(inbox) == 7
    inbox.done()
    assert inbox.put(messages(4, mid=0)) == 0


def test_a_closed_inbox_gives_what_is_left_and_then_nothing_without_waiting() -> None:
    inbox = Inbox(most=4)
    inbox.put(messages(1))
    inbox.close()
    assert len(inbox.take(most=5, most_bytes=100, linger=60, timeout=60)) == 1
    assert len(inbox.take(most=5, most_bytes=100, linger=60, timeout=60)) == 0
