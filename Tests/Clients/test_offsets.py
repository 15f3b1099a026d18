"""Reading from the middle: seeks, times, removed heads, small fetches and long polls."""

import asyncio
import struct
import threading
import time

import aiokafka
import confluent_kafka
import kafka
import pytest
from confluent_kafka import TopicPartition

import wire
from clients import CLIENTS, Message, commit_offsets, consume, produce
from harness import unique, wait_until
from transactional import committed_offsets

BASE = 1_700_000_000_000


@pytest.fixture
def segmented(broker, make_topic):
    """A topic of 500 records, a second apart, over many segments."""
    topic = make_topic(broker, segment_bytes=5000, index_interval_bytes=500, retention_ms=-1)
    for start in range(0, 500, 5):
        produce("confluent", broker.bootstrap, topic,
                [Message(b"%d" % i, b"x" * 100, [], BASE + 1000 * i) for i in range(start, start + 5)])
    segments = sorted(path.name for path in broker.data.glob(f"{topic}-0/*.log"))
    assert len(segments) > 10, segments
    return topic


def test_seek_to_every_kind_of_place(broker, segmented):
    """A seek lands exactly: at segments' first and last records, inside batches, at the ends; forward and backward.
    Catches an index that points behind its record, also after a kill that made the indexes anew."""
    place = kafka.TopicPartition(segmented, 0)
    for _ in range(2):
        consumer = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
        consumer.assign([place])
        starts = [int(path.name.split(".")[0]) for path in broker.data.glob(f"{segmented}-0/*.log")]
        targets = {0, 1, 2, 499, 250, 3} | set(starts) | {start - 1 for start in starts if start}
        for target in sorted(targets, key=lambda offset: offset * 7919 % 500):
            consumer.seek(place, target)
            records = wait_until(lambda: consumer.poll(1000, max_records=1), 10, f"offset {target}")[place]
            assert (records[0].offset, records[0].key) == (target, b"%d" % target)
        consumer.seek_to_end(place)
        assert consumer.position(place) == 500
        consumer.close()
        broker.kill_and_start()


def test_times_to_offsets_over_segments(broker, segmented):
    """Each time finds the first record that is not older, whichever segment it is in."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "times"})
    for number in list(range(0, 500, 37)) + [0, 499]:
        for time_offset in (-1, 0):
            asked = TopicPartition(segmented, 0, BASE + number * 1000 + time_offset)
            (found,) = consumer.offsets_for_times([asked], timeout=10)
            assert found.offset == number, asked
    (found,) = consumer.offsets_for_times([TopicPartition(segmented, 0, BASE + 499_001)], timeout=10)
    assert found.offset == confluent_kafka.OFFSET_END
    consumer.close()


@pytest.fixture
def beheaded(make_broker, make_topic):
    """A topic whose head retention by size removed."""
    broker = make_broker({"log.retention.check.interval.ms": "100"})
    topic = make_topic(broker, segment_bytes=10_000, retention_bytes=20_000, retention_ms=-1)
    for _ in range(20):
        produce("confluent", broker.bootstrap, topic, [Message(b"k", b"x" * 1000, [], 1) for _ in range(5)])
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap)
    place = kafka.TopicPartition(topic, 0)

    def start():
        # The rest may fill the retained size, but for one segment more.
        offset = consumer.beginning_offsets([place])[place]
        return offset if offset >= 60 else None

    offset = wait_until(start, 20, "retention by size")
    consumer.close()
    return broker, topic, offset


@pytest.mark.parametrize("reset", ["earliest", "latest", "error"])
def test_a_removed_offset_is_out_of_range(beheaded, reset):
    """A consumer at a removed record is told so, and resets as configured. Catches silent skipping, and a loop."""
    broker, topic, start = beheaded
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": unique("reset"), "auto.offset.reset": reset})
    consumer.assign([TopicPartition(topic, 0, 3)])
    if reset == "error":
        message = wait_until(lambda: consumer.poll(0.5), 20, "the error")
        assert message.error().code() == confluent_kafka.KafkaError._AUTO_OFFSET_RESET
    elif reset == "earliest":
        message = wait_until(lambda: consumer.poll(0.5), 20, "the first record")
        assert message.error() is None and message.offset() == start
    else:
        # Nothing comes until something new is there.
        def read_new():
            produce("confluent", broker.bootstrap, topic, [Message(b"new", b"v", [], 1)])
            return consumer.poll(1)
        message = wait_until(read_new, 20, "a new record")
        assert message.key() == b"new" and message.offset() >= 100
    consumer.close()


def test_out_of_range_as_kafka_python_tells_it(beheaded):
    """Without a reset the offset itself comes out as an error."""
    broker, topic, start = beheaded
    place = kafka.TopicPartition(topic, 0)
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="none")
    consumer.assign([place])
    for offset in (start - 1, 101):
        consumer.seek(place, offset)
        with pytest.raises(kafka.errors.OffsetOutOfRangeError):
            wait_until(lambda: consumer.poll(1000), 10, "the error")
    consumer.seek(place, start)
    assert wait_until(lambda: consumer.poll(1000, max_records=1), 10, "a record")[place][0].offset == start
    consumer.close()


@pytest.mark.parametrize("client, option", [("confluent", {"isolation.level": "read_committed"}),
                                            ("kafka-python", {"isolation_level": "read_committed"}),
                                            ("aiokafka", {"isolation_level": "read_committed"})])
def test_read_committed_without_transactions(broker, make_topic, client, option):
    """The last stable offset is the high watermark: such consumers read to the end."""
    topic = make_topic(broker)
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"%d" % i, [], 1) for i in range(100)])
    assert [int(m.value) for m in consume(client, broker.bootstrap, topic, 100, **option)] == list(range(100))


SMALL_FETCHES = {
    # librdkafka does not take less than its message.max.bytes for a whole fetch.
    "confluent": {"max.partition.fetch.bytes": 10},
    "kafka-python": {"fetch_max_bytes": 10, "max_partition_fetch_bytes": 10},
    "aiokafka": {"fetch_max_bytes": 10, "max_partition_fetch_bytes": 10},
}


@pytest.mark.parametrize("client", CLIENTS)
def test_tiny_fetches_make_progress(broker, make_topic, client):
    """One batch comes in any case (KIP-74), or a consumer with small limits would stand still."""
    topic = make_topic(broker)
    for i in range(30):
        produce("confluent", broker.bootstrap, topic, [Message(b"k", b"%d" % i * 500, [], 1)])
    read = consume(client, broker.bootstrap, topic, 30, **SMALL_FETCHES[client])
    assert [m.offset for m in read] == list(range(30))


def test_the_fetch_limit_holds_over_partitions(broker, make_topic):
    """max_bytes bounds the whole reply: the first batch in any case, then nothing beyond."""
    topic = make_topic(broker, partitions=10)
    for partition in range(10):
        produce("confluent", broker.bootstrap, topic, [Message(None, b"x" * 10_000, [], 1)] * 3, partition=partition)
    body = struct.pack(">iiiib", -1, 0, 1, 25_000, 0) + struct.pack(">i", 1) + wire.string(topic)
    body += struct.pack(">i", 10) + b"".join(struct.pack(">iqi", p, 0, 1 << 20) for p in range(10))
    with wire.Connection(broker) as connection:
        reply = connection.ask(wire.frame(wire.FETCH, 4, body))
    assert 10_000 < len(reply) < 36_000


@pytest.mark.parametrize("minimum, records", [(1, 1), (5000, 6)])
def test_long_polls_end_when_data_arrives(broker, make_topic, minimum, records):
    """A fetch that may wait 30 s is answered when fetch.min.bytes are there, not when it times out."""
    topic = make_topic(broker)
    with wire.Connection(broker, limit=25) as connection:
        connection.send(wire.fetch_frame(topic, wait=30_000, minimum=minimum))
        started = time.monotonic()
        sender = threading.Thread(target=lambda: [
            produce("confluent", broker.bootstrap, topic, [Message(None, b"x" * 1000, [], 1)]) for _ in range(records)])
        sender.start()
        reply = connection.reply()[1]
        took = time.monotonic() - started
        sender.join()
    assert len(reply) > minimum and b"x" * 1000 in reply
    assert took < 10


def test_long_polls_end_at_their_time(broker, make_topic):
    """Without data a fetch returns when its wait is over: not before, not much later."""
    topic = make_topic(broker)
    with wire.Connection(broker) as connection:
        started = time.monotonic()
        connection.ask(wire.fetch_frame(topic, wait=700))
        took = time.monotonic() - started
    assert 0.6 < took < 5


def test_a_thousand_waiting_fetches(broker, make_topic):
    """Many consumers at the end of one partition all get the next record."""
    topic = make_topic(broker)
    connections = [wire.Connection(broker) for _ in range(200)]
    for connection in connections:
        for correlation in range(5):
            connection.send(wire.fetch_frame(topic, wait=20_000, correlation=correlation))
    started = time.monotonic()
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"the record", [], 1)])
    for connection in connections:
        for expected in range(5):
            correlation, reply = connection.reply()
            assert correlation == expected and b"the record" in reply
        connection.socket.close()
    assert time.monotonic() - started < 10


def test_positions_beyond_the_end_wait(broker, make_topic):
    """A consumer at the end waits for the next record; nothing is skipped when it comes."""
    topic = make_topic(broker)
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"first", [], 1)])
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "end"})
    consumer.assign([TopicPartition(topic, 0, 1)])
    assert consumer.poll(0.5) is None
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"second", [], 1)])
    assert wait_until(lambda: consumer.poll(0.5), 10, "the record").value() == b"second"
    consumer.close()


def test_offsets_of_unknown_partitions_cannot_be_deleted(broker, make_topic):
    """And those that are there are, in the same request."""
    topic, group = make_topic(broker, partitions=2), unique("group")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    commit_offsets(consumer, [TopicPartition(topic, 0, 5), TopicPartition(topic, 1, 6)])
    consumer.close()
    admin = kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        places = [kafka.TopicPartition(topic, 1), kafka.TopicPartition(topic, 2), kafka.TopicPartition("nowhere", 0)]
        deleted = admin.delete_group_offsets(group, places)
        assert {place: getattr(error, "errno", error) for place, error in deleted.items()} == {
            places[0]: 0, places[1]: 3, places[2]: 3}
        assert committed_offsets(broker, group, topic, 2) == {0: 5, 1: None}
    finally:
        admin.close()


def test_a_group_that_is_being_loaded_does_not_seem_to_have_no_offsets(make_broker, make_topic):
    """aiokafka looks at the partitions' errors only, and began at the first record when there were none."""
    broker = make_broker({"offsets.topic.num.partitions": "4"})
    topic = make_topic(broker)
    place = aiokafka.TopicPartition(topic, 0)
    stopping = threading.Event()

    async def read_back():
        """Commits all the time, so that there is something to recover; returns what was read."""
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=unique("group"),
                                             enable_auto_commit=False, retry_backoff_ms=5)
        await consumer.start()
        consumer.assign([place])
        found = []
        while not stopping.is_set():
            await asyncio.wait_for(consumer.commit({place: 5}), 20)
            found.append(await asyncio.wait_for(consumer.committed(place), 20))
        await consumer.stop()
        return found

    async def read_all():
        return sum(await asyncio.gather(*[read_back() for _ in range(12)]), [])

    found = []
    thread = threading.Thread(target=lambda: found.extend(asyncio.run(read_all())))
    thread.start()
    for _ in range(15):
        time.sleep(0.5)
        broker.kill_and_start()
    time.sleep(0.5)
    stopping.set()
    thread.join(60)
    assert len(found) > 100
    assert set(found) == {5}
