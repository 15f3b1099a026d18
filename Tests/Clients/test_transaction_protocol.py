"""Transactions by hand: late, repeated and wrong requests get the protocol's errors and change nothing."""

import pytest

from harness import unique, wait_until
from transaction_wire import RawProducer
from transactional import committed_offsets, values

NONE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TXN_STATE, INVALID_PRODUCER_ID_MAPPING = 0, 3, 48, 49
INVALID_PRODUCER_EPOCH, INVALID_TRANSACTION_TIMEOUT, CONCURRENT_TRANSACTIONS = 47, 50, 51
OPERATION_NOT_ATTEMPTED, OUT_OF_ORDER_SEQUENCE_NUMBER, PRODUCER_FENCED = 55, 45, 90
COORDINATOR_LOAD_IN_PROGRESS = 14

VERSIONS = [1, 2]


@pytest.fixture
def broker(make_broker):
    return make_broker({"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4"})


@pytest.fixture
def begin(broker, make_topic):
    """Producers by hand on one topic of three partitions."""
    topic = make_topic(broker, 3)
    producers = []

    def make(version, name=None):
        producer = RawProducer(broker, name or unique("id"), topic, version)
        producers.append(producer)
        wait_until(lambda: producer.find_coordinator() == NONE, 10, "the coordinator")
        assert producer.initialize() == NONE
        return producer

    make.topic = topic
    yield make
    for producer in producers:
        producer.close()


def open_with(producer, value, *partitions):
    for partition in partitions or (0,):
        if producer.version == 1:
            assert producer.add(partition) == [NONE]
        assert producer.produce(value, partition) == NONE


def settled(producer, commit):
    """Ends the transaction."""
    wait_until(lambda: producer.end(commit) == NONE, 10, "the end")


def committed(broker, begin):
    return values("confluent", broker.bootstrap, begin.topic, 3)


@pytest.mark.parametrize("version", VERSIONS)
def test_two_interleaved(broker, begin, version):
    """Two producers' records lie between each other's, in both orders of their ends: the last stable offset waits for
    the older one, and each record counts as its own transaction does."""
    first, second = begin(version), begin(version)
    open_with(first, "a1")
    open_with(second, "b1")
    assert first.produce("a2") == NONE
    assert second.produce("b2") == NONE
    settled(second, True)
    assert committed(broker, begin)[0] == []
    settled(first, False)
    wait_until(lambda: committed(broker, begin)[0] == ["b1", "b2"], 5, "both ends")
    open_with(first, "a3")
    open_with(second, "b3")
    settled(first, True)
    wait_until(lambda: committed(broker, begin)[0] == ["b1", "b2", "a3"], 5, "the older one's end")
    settled(second, True)
    wait_until(lambda: committed(broker, begin)[0] == ["b1", "b2", "a3", "b3"], 5, "both ends")


def test_late_records_of_an_earlier_transaction(broker, begin):
    """With an epoch for each transaction, records that come after their transaction's end, and repeated ones, are
    refused also while the next transaction is open, and are never seen."""
    producer = begin(2)
    open_with(producer, "one")
    late = producer.produce_frame(producer.records("late", advance=False))
    elsewhere = producer.produce_frame(producer.records("late", partition=2), partition=2)
    settled(producer, True)
    for data in (late, elsewhere):
        assert producer.connection_error(data) == INVALID_PRODUCER_EPOCH
    open_with(producer, "two", 0, 1)
    for data in (late, elsewhere):
        assert producer.connection_error(data) == INVALID_PRODUCER_EPOCH
    settled(producer, True)
    wait_until(lambda: committed(broker, begin) == {0: ["one", "two"], 1: ["two"], 2: []}, 5, "the end")


def test_late_records_with_one_epoch(broker, begin):
    """Producers of before KIP-890 keep their epoch: what comes after the end is refused because nothing is open."""
    producer = begin(1)
    open_with(producer, "one")
    late = producer.produce_frame(producer.records("late", advance=False))
    settled(producer, True)
    assert producer.connection_error(late) == INVALID_TXN_STATE
    assert producer.end(False) == INVALID_TXN_STATE
    open_with(producer, "two")
    settled(producer, True)
    wait_until(lambda: committed(broker, begin)[0] == ["one", "two"], 5, "the end")


def test_a_late_end_of_an_earlier_transaction(broker, begin):
    """A repeated EndTxn is answered as the first while nothing came after it, and refused when the next transaction is
    open, which it must not end."""
    producer = begin(2)
    open_with(producer, "one")
    late = producer.end_frame(True)
    assert producer.send_end(late) == NONE
    after = producer.producer, producer.epoch
    wait_until(lambda: producer.send_end(late) == NONE, 5, "the same answer")
    assert (producer.producer, producer.epoch) == after
    open_with(producer, "two")
    assert producer.send_end(late) == PRODUCER_FENCED
    assert committed(broker, begin)[0] == ["one"]
    settled(producer, False)
    open_with(producer, "three")
    settled(producer, True)
    wait_until(lambda: committed(broker, begin)[0] == ["one", "three"], 5, "the end")


@pytest.mark.parametrize("version,codes", [(1, (INVALID_TXN_STATE, INVALID_TXN_STATE)), (2, (INVALID_TXN_STATE, NONE))])
def test_ends_in_the_wrong_state(broker, begin, version, codes):
    """What was never begun cannot be committed; KIP-890's clients may abort it. What was aborted cannot be
    committed, nor the reverse."""
    producer = begin(version)
    assert (producer.end(True), producer.end(False)) == codes
    open_with(producer, "aborted")
    aborted = producer.end_frame(True)
    settled(producer, False)
    wait_until(lambda: producer.send_end(aborted) == INVALID_TXN_STATE, 5, "no commit behind the abort")
    open_with(producer, "committed")
    repeated = producer.end_frame(False)
    settled(producer, True)
    wait_until(lambda: producer.send_end(repeated) == INVALID_TXN_STATE, 5, "no abort behind the commit")
    wait_until(lambda: committed(broker, begin)[0] == ["committed"], 5, "the end")


def test_wrong_producers(broker, begin):
    """Another's producer id, an unknown one, an older and a newer epoch, an unknown transactional id: each is refused,
    and the open transaction goes on."""
    producer, other = begin(1), begin(1)
    open_with(producer, "kept")
    right = producer.producer, producer.epoch
    for wrong, ending, adding in [
            ((other.producer, other.epoch), INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING),
            ((999_999, 0), INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING),
            ((right[0], right[1] + 1), PRODUCER_FENCED, PRODUCER_FENCED)]:
        producer.producer, producer.epoch = wrong
        assert producer.end(True) == ending, wrong
        assert producer.add(1) == [adding], wrong
        assert producer.add_offsets("group") == adding, wrong
        assert producer.produce_records(producer.records("x", 1, advance=False), 1) != NONE
    producer.producer, producer.epoch = right
    name, producer.id = producer.id, "nobody"
    assert producer.end(True) == INVALID_PRODUCER_ID_MAPPING
    assert producer.add(1) == [INVALID_PRODUCER_ID_MAPPING]
    producer.id = name
    assert producer.produce("kept too") == NONE
    settled(producer, True)
    wait_until(lambda: committed(broker, begin) == {0: ["kept", "kept too"], 1: [], 2: []}, 5, "the end")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_epoch_is_fenced(broker, begin, version):
    """Every request of a producer that another has followed is refused, and nothing of its transaction is seen."""
    zombie = begin(version)
    open_with(zombie, "zombie")
    successor = begin(version, zombie.id)
    assert successor.producer == zombie.producer and successor.epoch > zombie.epoch
    assert zombie.produce("late") == INVALID_PRODUCER_EPOCH
    assert zombie.produce("late", 1) == INVALID_PRODUCER_EPOCH
    assert zombie.end(True) == PRODUCER_FENCED
    assert zombie.add(2) == [PRODUCER_FENCED]
    assert zombie.add_offsets("group") == PRODUCER_FENCED
    open_with(successor, "new", 0, 1)
    settled(successor, True)
    wait_until(lambda: committed(broker, begin) == {0: ["new"], 1: ["new"], 2: []}, 5, "the end")


def test_partitions_never_added(broker, begin):
    """Producers of before KIP-890 add partitions before they write: what they did not add is refused, one partition
    that does not exist refuses all, and offsets need AddOffsetsToTxn."""
    producer = begin(1)
    assert producer.add(0, 99) == [OPERATION_NOT_ATTEMPTED, UNKNOWN_TOPIC_OR_PARTITION]
    assert producer.produce_records(producer.records("x", advance=False)) == INVALID_TXN_STATE
    open_with(producer, "a")
    assert producer.produce_records(producer.records("x", 1), 1) == INVALID_TXN_STATE
    assert producer.commit_offset("group", 7) == INVALID_TXN_STATE
    assert producer.add_offsets("group") == NONE
    assert producer.commit_offset("group", 5) == NONE
    settled(producer, True)
    wait_until(lambda: committed(broker, begin) == {0: ["a"], 1: [], 2: []}, 5, "the end")
    assert committed_offsets(broker, "group", begin.topic, 1) == {0: 5}


def test_sequences_and_repeated_batches(broker, begin):
    """A batch sent twice in a transaction is there once; one with a gap before it is refused."""
    producer = begin(2)
    batch = producer.records("once")
    assert producer.produce_records(batch) == NONE
    assert producer.produce_records(batch) == NONE
    producer.sequences[0] = 5
    assert producer.produce("gap") == OUT_OF_ORDER_SEQUENCE_NUMBER
    producer.sequences[0] = 1
    assert producer.produce("twice") == NONE
    settled(producer, True)
    wait_until(lambda: committed(broker, begin)[0] == ["once", "twice"], 5, "the end")


def test_time_outs_out_of_bounds(begin):
    """transaction.max.timeout.ms is 15 minutes."""
    producer = begin(1)
    for timeout in (0, -1, 900_001, 2**31 - 1):
        assert producer.initialize(timeout) == INVALID_TRANSACTION_TIMEOUT
    assert producer.initialize(900_000) == NONE
