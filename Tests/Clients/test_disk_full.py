"""A full disk: writing is refused, reading goes on, nothing acknowledged is lost, and room made is used again."""

import errno
import os
import random
import subprocess

import confluent_kafka
import pytest

import wire
from clients import Message, commit_offsets, consume, produce
from harness import unique, wait_until
from test_crash import high_watermark
from wire import Connection, batch, produce_frame, record

KAFKA_STORAGE_ERROR = 56
MEGABYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 48 MB, a third of it taken by a file that can be removed."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True,
                             check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not possible here: {mounted.stderr.decode().strip()}")
    (folder / "ballast").write_bytes(bytes(16 * MEGABYTE))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def broker(small_disk, make_broker):
    """Made after the disk, so that it ends before it."""
    broker = make_broker({"log.segment.bytes": str(4 * MEGABYTE), "offsets.topic.num.partitions": "2"},
                         data=small_disk / "data")
    # What the tests provoke.
    broker.allow_error("full|space|not-stored|ENOSPC")
    return broker


def fill(broker, topic, noise):
    """Produces until the disk is full; returns the values by offset."""
    stored = {}
    with Connection(broker, limit=30) as connection:
        while True:
            value = noise.randbytes(200_000)
            error, offset = wire.produce_error(connection.ask(produce_frame(topic, batch(record(value)))))
            if error:
                assert error == KAFKA_STORAGE_ERROR
                return stored
            stored[offset] = value
            assert len(stored) < 1000, "the disk does not fill"


@pytest.mark.parametrize("durability", ["fsync", "page-cache"])
def test_a_full_disk_refuses_and_recovers(small_disk, broker, make_topic, durability):
    """Filled, read, freed, written again, restarted, killed. Catches a refused batch that is there all the same, an
    acknowledged one that is not, and a broker that gives up for good because there was no room once."""
    noise = random.Random(11)
    topic = make_topic(broker, durability=durability)
    stored = {}
    for _ in range(4):
        stored |= fill(broker, topic, noise)
    assert len(stored) > 50
    assert log_of(broker, topic) == stored
    (small_disk / "ballast").unlink()

    def is_written():
        with Connection(broker) as connection:
            value = noise.randbytes(1000)
            error, offset = wire.produce_error(connection.ask(produce_frame(topic, batch(record(value)))))
            if error == 0:
                stored[offset] = value
            return error == 0

    wait_until(is_written, 20, "a write after room was made")
    assert log_of(broker, topic) == stored
    broker.restart()
    assert log_of(broker, topic) == stored
    broker.kill_and_start()
    assert log_of(broker, topic) == stored


def log_of(broker, topic):
    """The values that the log holds, by offset."""
    read = consume("confluent", broker.bootstrap, topic, high_watermark(broker, topic, 0))
    return {m.offset: m.value for m in read}


def take_the_rest(path):
    """Leaves no byte free."""
    try:
        with open(path, "wb") as rest:
            while True:
                rest.write(bytes(4096))
                rest.flush()
    except OSError as error:
        assert error.errno == errno.ENOSPC


def test_a_start_on_a_full_disk(small_disk, broker, make_topic):
    """After a kill on a full disk the broker either starts and serves what it has, or says why not and leaves the
    files as they are; once there is room it has everything."""
    topic = make_topic(broker)
    stored = fill(broker, topic, random.Random(12))
    take_the_rest(small_disk / "rest")
    broker.kill()
    try:
        broker.start()
    except AssertionError as error:
        assert "space" in str(error), error
        broker.process = None
    else:
        assert log_of(broker, topic) == stored
        broker.kill()
    (small_disk / "rest").unlink(missing_ok=True)
    (small_disk / "ballast").unlink()
    broker.start()
    assert log_of(broker, topic) == stored
    produce("confluent", broker.bootstrap, topic, [Message(None, b"after", [], 1)])


def test_an_idempotent_producer_waits_for_room(small_disk, broker, make_topic):
    """KAFKA_STORAGE_ERROR is retriable: a patient producer gets everything through, once and in order."""
    topic = make_topic(broker)
    noise = random.Random(13)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "message.timeout.ms": 60_000,
         "retry.backoff.ms": 50, "retry.backoff.max.ms": 200, "linger.ms": 0})
    outcomes = []
    values = [b"%d:" % i + noise.randbytes(200_000) for i in range(180)]
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, message: outcomes.append((error, message.offset())))
    wait_until(lambda: producer.poll(0.1) or refused(broker), 30, "the disk to be full", step=0)
    (small_disk / "ballast").unlink()
    assert producer.flush(60) == 0
    assert [error for error, _ in outcomes if error] == []
    assert [m.value for m in consume("confluent", broker.bootstrap, topic, len(values))] == values


def refused(broker):
    return sum(value for (name, labels), value in broker.metrics().items()
               if name == "martlet_request_errors_total" and dict(labels)["api"] == "produce")


def test_administration_on_a_full_disk(small_disk, broker, make_topic):
    """Topics and commits are refused or made while the disk is full, never half; afterwards all works."""
    topic = make_topic(broker)
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "full"})
    commit_offsets(consumer, [confluent_kafka.TopicPartition(topic, 0, 1)])
    fill(broker, topic, random.Random(14))
    take_the_rest(small_disk / "rest")
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": broker.bootstrap})
    name = unique("while-full")
    try:
        admin.create_topics([confluent_kafka.admin.NewTopic(name, 3, 1)])[name].result(20)
        is_made = True
    except confluent_kafka.KafkaException:
        is_made = False
    committed = 1
    try:
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 2)], asynchronous=False)
        committed = 2
    except confluent_kafka.KafkaException:
        pass
    assert broker.process.poll() is None
    (small_disk / "ballast").unlink()
    (small_disk / "rest").unlink(missing_ok=True)
    (place,) = consumer.committed([confluent_kafka.TopicPartition(topic, 0)], timeout=20)
    assert place.offset == committed
    consumer.close()
    assert (name in admin.list_topics(timeout=20).topics) == is_made
    broker.restart()
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": broker.bootstrap})
    assert (name in admin.list_topics(timeout=20).topics) == is_made
    other = make_topic(broker, name=name if not is_made else unique("after"))
    produce("confluent", broker.bootstrap, other, [Message(None, b"v", [], 1)])
