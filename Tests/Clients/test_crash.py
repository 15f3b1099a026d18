"""kill -9 and start again, under load: what was acknowledged is there, once, in order."""

import collections
import threading
import time

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition

from clients import Message, consume, produce
from harness import unique, wait_until

PARTITIONS = 4
KILLS = 20

# Reconnect at once, and never give a message up while the broker is away.
PATIENCE = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 100}


class IdempotentProducer:
    """A thread that produces numbered messages to all partitions until told to stop, and keeps what was acknowledged
    as {(partition, offset): value}."""

    def __init__(self, broker, topic, name):
        self.name = name
        self.acknowledged = {}
        self.sent = 0
        self.problems = []
        self.stopping = threading.Event()
        self.topic = topic
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 2,
             "message.timeout.ms": 90_000, "error_cb": self._failed, "compression.type": "lz4", **PATIENCE})
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _failed(self, error):
        if error.fatal():
            self.problems.append(f"fatal: {error}")

    def _delivered(self, error, message):
        if error:
            self.problems.append(f"{message.value()}: {error}")
            return
        place = message.partition(), message.offset()
        if place in self.acknowledged:
            self.problems.append(f"{place} was acknowledged for {self.acknowledged[place]} and {message.value()}")
        self.acknowledged[place] = message.value()

    def _run(self):
        while not self.stopping.is_set():
            if len(self.producer) > 2000:
                self.producer.poll(0.01)
                continue
            self.producer.produce(self.topic, b"%s:%d" % (self.name.encode(), self.sent),
                                  partition=self.sent % PARTITIONS, on_delivery=self._delivered)
            self.sent += 1
            if self.sent % 50 == 0:
                # Enough for a load that a reader in Python can follow.
                self.producer.poll(0.01)
        if self.producer.flush(60) != 0:
            self.problems.append("not all messages could be sent")

    def finish(self):
        self.stopping.set()
        self.thread.join(90)


class SteadyReader:
    """Reads all partitions from their beginning while the broker comes and goes, and commits as it goes. It must get
    each offset once, one after the other."""

    def __init__(self, broker, topic):
        self.seen = collections.defaultdict(set)
        self.problems = []
        self.stopping = threading.Event()
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": broker.bootstrap, "group.id": unique("reader"), "auto.offset.reset": "error",
             "enable.auto.commit": True, "auto.commit.interval.ms": 100, "session.timeout.ms": 10_000, **PATIENCE})
        # A log that comes back shorter shows as OFFSET_OUT_OF_RANGE: auto.offset.reset=error.
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        expected = collections.Counter()
        while not self.stopping.is_set():
            for message in self.consumer.consume(500, 0.1):
                if message.error():
                    if message.error().code() == confluent_kafka.KafkaError._AUTO_OFFSET_RESET:
                        self.problems.append(str(message.error()))
                    continue
                partition, offset = message.partition(), message.offset()
                if offset != expected[partition]:
                    self.problems.append(f"partition {partition}: {offset} after {expected[partition] - 1}")
                expected[partition] = offset + 1
                self.seen[partition].add(message.value())
        self.consumer.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("durability", ["fsync", "page-cache"])
def test_nothing_acknowledged_is_lost_or_doubled_over_twenty_kills(make_broker, make_topic, durability):
    """Idempotent producers and a consumer work through 20 kills. Every acknowledged record is at its offset with its
    value; no value is there twice; each producer's values are in order; the consumer, which reads all the while, saw
    nothing that was not there later. Catches acknowledging before writing, recovery that cuts too much or too
    little, and producer state that forgets a sequence."""
    # Small segments: kills must also hit rolls.
    broker = make_broker({"offsets.topic.num.partitions": "4"})
    topic = make_topic(broker, partitions=PARTITIONS, durability=durability, segment_bytes=200_000)
    producers = [IdempotentProducer(broker, topic, f"producer-{i}") for i in range(3)]
    reader = SteadyReader(broker, topic)
    try:
        for kill in range(KILLS):
            before = [len(p.acknowledged) for p in producers]
            wait_until(lambda: all(len(p.acknowledged) > b + 40 for p, b in zip(producers, before)), 60,
                       f"progress after kill {kill}: {[p.problems[:2] for p in producers]}")
            broker.kill_and_start()
    finally:
        for producer in producers:
            producer.finish()
    assert [p.problems for p in producers] == [[], [], []]

    log = {}
    for partition in range(PARTITIONS):
        end = high_watermark(broker, topic, partition)
        for message in consume("confluent", broker.bootstrap, topic, end, partition):
            log[partition, message.offset] = message.value
    values = collections.Counter(log.values())
    assert [value for value, count in values.items() if count > 1] == []
    for producer in producers:
        assert len(producer.acknowledged) == producer.sent
        wrong = {place: (value, log.get(place)) for place, value in producer.acknowledged.items()
                 if log.get(place) != value}
        assert not wrong, f"{len(wrong)} acknowledged records are not where they were: {list(wrong.items())[:5]}"
    for partition in range(PARTITIONS):
        last = collections.defaultdict(lambda: -1)
        for offset in sorted(offset for p, offset in log if p == partition):
            name, number = log[partition, offset].split(b":")
            assert int(number) > last[name], f"partition {partition}: {name} {number} after {last[name]}"
            last[name] = int(number)

    wait_until(lambda: sum(map(len, reader.seen.values())) == len(log) or reader.problems, 30, "the reader's end")
    reader.stopping.set()
    reader.thread.join(20)
    assert reader.problems == []


def high_watermark(broker, topic, partition):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "watermarks"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1]
    finally:
        consumer.close()


def test_sigterm_under_load_needs_no_recovery(make_broker, make_topic):
    """A stop by SIGTERM, five times under load: code 0, soon, and the next start finds nothing to recover. Catches a
    shutdown that forgets a log, or answers producers that it then does not write."""
    broker = make_broker({"offsets.topic.num.partitions": "4"})
    topic = make_topic(broker, partitions=PARTITIONS, segment_bytes=200_000)
    producer = IdempotentProducer(broker, topic, "producer")
    try:
        for _ in range(5):
            before = len(producer.acknowledged)
            wait_until(lambda: len(producer.acknowledged) > before + 200, 30, "progress")
            started = time.monotonic()
            broker.stop()
            assert time.monotonic() - started < 10
            broker.start()
            assert "log.recovered" not in broker.log()
    finally:
        producer.finish()
    assert producer.problems == []
    count = sum(high_watermark(broker, topic, partition) for partition in range(PARTITIONS))
    assert count == producer.sent


def test_a_kill_leaves_topics_and_configurations(make_broker, make_topic):
    """What an administrator was told is done is done: a topic, its partitions and its configuration survive a kill
    right after the answer; a deleted topic stays deleted."""
    broker = make_broker()
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": broker.bootstrap, **PATIENCE})
    for round_number in range(5):
        kept = make_topic(broker, partitions=3, retention_ms=123_000 + round_number)
        gone = make_topic(broker)
        admin.delete_topics([gone])[gone].result(20)
        admin.create_partitions([confluent_kafka.admin.NewPartitions(kept, 5)])[kept].result(20)
        broker.kill_and_start()
        topics = admin.list_topics(timeout=20).topics
        assert len(topics[kept].partitions) == 5 and gone not in topics
        resource = confluent_kafka.admin.ConfigResource("topic", kept)
        configs = admin.describe_configs([resource])
        assert configs[resource].result(20)["retention.ms"].value == str(123_000 + round_number)
        produce("confluent", broker.bootstrap, kept, [Message(None, b"v", [], 1)], partition=4)


def test_many_logs_are_ready_soon_after_a_kill(make_broker, make_topic):
    """200 partitions with data come back within seconds of a kill, each with its records."""
    broker = make_broker()
    topic = make_topic(broker, partitions=200)
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})
    for i in range(20_000):
        producer.produce(topic, b"%d" % i, partition=i % 200)
    assert producer.flush(40) == 0
    broker.kill()
    started = time.monotonic()
    broker.start()
    assert time.monotonic() - started < 5
    for partition in (0, 77, 199):
        assert [int(m.value) for m in consume("confluent", broker.bootstrap, topic, 100, partition)] == list(
            range(partition, 20_000, 200))
