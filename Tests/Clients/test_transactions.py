"""Transactions with each client: what is committed is seen at once and whole, what is not is never seen."""

import threading
import time

import confluent_kafka
import kafka
import pytest
from aiokafka.errors import ProducerFenced
from confluent_kafka import KafkaError, TopicPartition

from clients import CLIENTS, Message, produce
from harness import unique, wait_until
from transactional import PATIENCE, TRANSACTIONS, committed_offsets, read_to_end, values

PARTITIONS = 3

# Fewer logs to make for each broker.
SETTINGS = {"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4"}


@pytest.fixture
def broker(make_broker):
    return make_broker(SETTINGS)


@pytest.fixture
def begin_producer(request):
    """Producers of any client, closed at the test's end."""
    producers = []

    def make(client, broker, transactional_id, timeout=30, **options):
        producer = TRANSACTIONS[client](broker.bootstrap, transactional_id, timeout, **options)
        producers.append(producer)
        return producer

    yield make
    for producer in producers:
        producer.close()


def send_round(producer, topic, name):
    for partition in range(PARTITIONS):
        producer.send(topic, partition, f"{name}-{partition}")


@pytest.mark.parametrize("client", CLIENTS)
def test_commit_and_abort_over_partitions(broker, make_topic, begin_producer, client):
    """Three transactions over three partitions, the middle one aborted: each client reads the committed ones at
    read_committed and all three at read_uncommitted. Catches wrong lists of aborted transactions and lost markers."""
    topic = make_topic(broker, PARTITIONS)
    producer = begin_producer(client, broker, unique("id"))
    for name, ending in [("a", producer.commit), ("b", producer.abort), ("c", producer.commit)]:
        producer.begin()
        send_round(producer, topic, name)
        # Else a client drops what it aborts before it has sent it.
        producer.flush()
        ending()
    for reader in CLIENTS:
        assert values(reader, broker.bootstrap, topic, PARTITIONS) == {
            p: [f"a-{p}", f"c-{p}"] for p in range(PARTITIONS)}, reader
        assert values(reader, broker.bootstrap, topic, PARTITIONS, committed=False) == {
            p: [f"a-{p}", f"b-{p}", f"c-{p}"] for p in range(PARTITIONS)}, reader


@pytest.mark.parametrize("client", CLIENTS)
def test_open_transactions_are_not_seen(broker, make_topic, begin_producer, client):
    """While a transaction is open, read_committed ends before its first record, even for what others have written
    behind it; read_uncommitted does not."""
    topic = make_topic(broker)
    produce("confluent", broker.bootstrap, topic, [Message(None, b"before", [], 1)])
    producer = begin_producer(client, broker, unique("id"))
    producer.begin()
    producer.send(topic, 0, "open")
    producer.flush()
    produce("confluent", broker.bootstrap, topic, [Message(None, b"behind", [], 1)])
    for reader in CLIENTS:
        assert values(reader, broker.bootstrap, topic, 1) == {0: ["before"]}
        assert values(reader, broker.bootstrap, topic, 1, committed=False) == {0: ["before", "open", "behind"]}
    producer.commit()
    for reader in CLIENTS:
        assert values(reader, broker.bootstrap, topic, 1) == {0: ["before", "open", "behind"]}


@pytest.mark.parametrize("client", CLIENTS)
def test_offsets_count_when_the_transaction_does(broker, make_topic, begin_producer, client):
    """Offsets sent to a transaction are the group's after its commit, and never after its abort; while it is open,
    whoever asks for stable offsets waits. Catches offsets that are seen too early or survive an abort."""
    topic, group = make_topic(broker, 2), unique("group")
    producer = begin_producer(client, broker, unique("id"))
    for offset, ending in [(3, producer.commit), (5, producer.abort), (7, producer.commit)]:
        producer.begin()
        producer.send(topic, 0, f"up to {offset}")
        producer.send_offsets({(topic, 0): offset, (topic, 1): offset + 1}, group)
        # librdkafka asks for stable offsets (KIP-447).
        consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
        with pytest.raises(confluent_kafka.KafkaException):
            consumer.committed([TopicPartition(topic, 0)], timeout=0.5)
        consumer.close()
        # kafka-python does not, and gets what was committed before.
        before = kafka_python_committed(broker, group, topic)
        ending()
        after = committed_offsets(broker, group, topic, 2)
        if ending == producer.commit:
            assert after == {0: offset, 1: offset + 1}
        else:
            assert after == {0: before, 1: before + 1}
        assert before == {3: None, 5: 3, 7: 3}[offset]


def kafka_python_committed(broker, group, topic):
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group)
    try:
        return consumer.committed(kafka.TopicPartition(topic, 0))
    finally:
        consumer.close()


def assert_fenced(client, error):
    if client == "confluent":
        assert error.args[0].fatal() and error.args[0].code() in (
            KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH), error
    elif client == "aiokafka":
        assert isinstance(error, ProducerFenced), repr(error)
    else:
        # After it has told once, it tells with every call what it told.
        told = [error, *error.args]
        assert any(isinstance(one, (kafka.errors.ProducerFencedError, kafka.errors.InvalidProducerEpochError))
                   for one in told), repr(error)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_older_producer_is_fenced(broker, make_topic, begin_producer, client):
    """A second producer of a transactional id ends the first one's transaction and the first one itself: its client
    says that it is fenced, and nothing it had open is ever seen."""
    topic, name = make_topic(broker, PARTITIONS), unique("id")
    zombie = begin_producer(client, broker, name)
    zombie.begin()
    send_round(zombie, topic, "zombie")
    zombie.flush()
    successor = begin_producer(client, broker, name)
    with pytest.raises(Exception) as caught:
        send_round(zombie, topic, "late")
        zombie.commit()
    assert_fenced(client, caught.value)
    successor.begin()
    send_round(successor, topic, "successor")
    successor.commit()
    assert values("confluent", broker.bootstrap, topic, PARTITIONS) == {
        p: [f"successor-{p}"] for p in range(PARTITIONS)}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_producer_that_vanishes_stops_readers_no_longer_than_its_time_out(
        broker, make_topic, begin_producer, client):
    """A transaction whose producer is silent is aborted when transaction.timeout.ms is over, not before and soon
    after. Its producer cannot commit it any more."""
    topic = make_topic(broker)
    producer = begin_producer(client, broker, unique("id"), timeout=2)
    producer.begin()
    producer.send(topic, 0, "left")
    producer.flush()
    started = time.monotonic()
    produce("confluent", broker.bootstrap, topic, [Message(None, b"behind", [], 1)])
    assert values("confluent", broker.bootstrap, topic, 1) == {0: []}
    wait_until(lambda: values("confluent", broker.bootstrap, topic, 1) == {0: ["behind"]}, 5, "the abort")
    assert 1.5 < time.monotonic() - started < 4
    with pytest.raises(Exception):
        producer.commit()
    assert values("confluent", broker.bootstrap, topic, 1) == {0: ["behind"]}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_restart_in_the_middle(broker, make_topic, begin_producer, client, how):
    """A restart of the broker neither ends a transaction nor forgets it: the producer goes on, and what it sent
    before counts with what it sends behind. One that it leaves open over a restart stays abortable."""
    topic, group = make_topic(broker, PARTITIONS), unique("group")
    producer = begin_producer(client, broker, unique("id"))
    restart = broker.restart if how == "SIGTERM" else broker.kill_and_start
    for name, ending in [("a", producer.commit), ("b", producer.abort), ("c", producer.commit)]:
        producer.begin()
        producer.send(topic, 0, f"{name}-0")
        producer.send_offsets({(topic, 0): ord(name)}, group)
        producer.flush()
        restart()
        producer.send(topic, 1, f"{name}-1")
        producer.send(topic, 0, f"{name}-2")
        producer.flush()
        ending()
    assert values("confluent", broker.bootstrap, topic, 2) == {0: ["a-0", "a-2", "c-0", "c-2"], 1: ["a-1", "c-1"]}
    assert committed_offsets(broker, group, topic, 1) == {0: ord("c")}


def test_producers_at_once_on_the_same_partitions(broker, make_topic, begin_producer):
    """Six producers, two of each client, in threads of their own, transactions of random-looking outcome over the
    same partitions: exactly the committed ones are read, whole, each producer's in its order, by every client."""
    topic = make_topic(broker, PARTITIONS)
    rounds = 25
    failures = []

    def run(name, producer):
        try:
            for number in range(rounds):
                producer.begin()
                send_round(producer, topic, f"{name}:{number}")
                if number % 3 == 1:
                    producer.flush()
                    producer.abort()
                else:
                    producer.commit()
        except Exception as error:
            failures.append(f"{name}: {error!r}")

    names = [f"{client}.{index}" for client in CLIENTS for index in range(2)]
    threads = [threading.Thread(target=run, args=(n, begin_producer(n[:-2], broker, unique("id")))) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    for reader in CLIENTS:
        for partition, found in values(reader, broker.bootstrap, topic, PARTITIONS).items():
            for name in names:
                mine = [value for value in found if value.startswith(name + ":")]
                assert mine == [f"{name}:{n}-{partition}" for n in range(rounds) if n % 3 != 1], (reader, name)


def test_a_waiting_reader_gets_the_records_soon_after_the_commit(broker, make_topic, begin_producer):
    """A read_committed consumer with a long poll is answered when the commit moves the last stable offset, not when
    its poll ends. Catches a wait at the high watermark."""
    topic = make_topic(broker)
    producer = begin_producer("confluent", broker, unique("id"))
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "waiting", "fetch.wait.max.ms": 20_000,
         "socket.timeout.ms": 30_000, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert consumer.poll(1) is None
    for number in range(3):
        producer.begin()
        producer.send(topic, 0, f"{number}")
        producer.flush()
        assert consumer.poll(0.5) is None
        committed = time.monotonic()
        producer.commit()
        message = consumer.poll(10)
        assert message is not None and message.value() == b"%d" % number
        assert time.monotonic() - committed < 1
    consumer.close()


def test_compaction_keeps_what_transactions_mean(make_broker, begin_producer, make_topic):
    """A compacted topic with committed and aborted transactions: when compaction has removed what is superseded, and
    the broker has been started again, every client still reads the last committed value of each key. An aborted value
    never supersedes a committed one. Catches a cleaner that drops markers too early or keeps aborted records."""
    broker = make_broker({**SETTINGS, "log.cleaner.backoff.ms": "200"})
    topic = make_topic(broker, cleanup_policy="compact", segment_bytes=20_000, min_cleanable_dirty_ratio=0.01)
    producer = begin_producer("confluent", broker, unique("id"))
    expected = {}
    padding = "x" * 200
    for number in range(300):
        producer.begin()
        for key in (f"k{number % 7}", f"s{number % 3}"):
            producer.send(topic, 0, f"{number}{padding}", key=key.encode())
            if number % 4 != 0:
                expected[key] = f"{number}{padding}"
        if number % 4 == 0:
            producer.flush()
            producer.abort()
        else:
            producer.commit()

    wait_until(lambda: len(read_to_end("confluent", broker.bootstrap, topic)) < 250, 20, "compaction", step=0.2)
    for restart in (None, broker.restart, broker.kill_and_start):
        if restart:
            restart()
        for reader in CLIENTS:
            found = {key.decode(): value for _, key, value in read_to_end(reader, broker.bootstrap, topic)}
            assert found == expected, (restart, reader)
