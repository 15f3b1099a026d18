"""Real text, 8 MB and more of it: the sources of the Python library that runs this suite, line by line."""

import hashlib
import pathlib
import random
import sysconfig
import time

import confluent_kafka
import pytest

from clients import consume
from harness import wait_until
from test_crash import high_watermark

PARTITIONS = 3
WANTED_BYTES = 8_000_000


@pytest.fixture(scope="module")
def files():
    """{path: lines}, the same on each run with the same Python."""
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    found, size = {}, 0
    for path in sorted(library.rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        content = path.read_bytes()
        found[str(path.relative_to(library))] = content.splitlines(keepends=True)
        size += len(content)
        if size >= WANTED_BYTES:
            return found
    raise AssertionError(f"the library has only {size} bytes")


class Sender:
    def __init__(self, broker, **options):
        self.failures = []
        self.count = 0
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": broker.bootstrap, "linger.ms": 20, "enable.idempotence": True,
             "queue.buffering.max.messages": 50_000, **options})

    def send(self, topic, key, value, **more):
        self.count += 1
        while True:
            try:
                self.producer.produce(topic, value, key, on_delivery=self._delivered, **more)
                break
            except BufferError:
                self.producer.poll(0.1)
        if self.count % 1000 == 0:
            self.producer.poll(0)

    def _delivered(self, error, message):
        if error:
            self.failures.append(str(error))

    def finish(self):
        assert self.producer.flush(60) == 0
        assert self.failures == []


def read_all(broker, topic):
    """All messages of all partitions, in each partition's order."""
    return [message for partition in range(PARTITIONS)
            for message in consume_to_end(broker, topic, partition)]


def consume_to_end(broker, topic, partition):
    """Up to the high watermark; a compacted log has fewer records than offsets."""
    end = high_watermark(broker, topic, partition)
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "to-end", "enable.partition.eof": True,
         "check.crcs": True, "enable.auto.commit": False})
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
    messages = []
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, f"{len(messages)} messages in 60 s, the end is {end}"
        # It waits for all 1000, so not for long.
        for message in consumer.consume(1000, 0.2):
            if message.error():
                assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
                if message.offset() >= end:
                    consumer.close()
                    return messages
            else:
                messages.append(message)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_text_comes_back_byte_for_byte(make_broker, make_topic, files, codec):
    """Each file is sent line by line under its name, read back after a restart, and put together again."""
    broker = make_broker()
    topic = make_topic(broker, partitions=PARTITIONS, segment_bytes=1_000_000, retention_ms=-1)
    sender = Sender(broker, **{"compression.type": codec})
    for path, lines in files.items():
        for number, line in enumerate(lines):
            sender.send(topic, path.encode(), line, headers=[("line", b"%d" % number)])
    sender.finish()
    broker.restart()
    texts = {path: [] for path in files}
    for message in read_all(broker, topic):
        lines = texts[message.key().decode()]
        assert message.headers() == [("line", b"%d" % len(lines))]
        lines.append(message.value())
    assert texts == files


def final_state(messages):
    state = {}
    for message in messages:
        if message.value() is None:
            state.pop(message.key(), None)
        else:
            state[message.key()] = message.value()
    return state


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_compaction_keeps_the_last_value_of_each_key(make_broker, make_topic, files, codec):
    """Every distinct line of the text is a key; several generations of values, some removed at the end, in an order
    of its own each. The log shrinks while it is written, and before and after restarts, clean and not, the last value
    of each key is there, byte for byte, and of a removed key nothing. Catches a cleaner that drops the newest, keeps a
    removed one, loses records at a segment's edge, or comes back with both after a kill."""
    broker = make_broker({"log.cleaner.backoff.ms": "200", "log.retention.check.interval.ms": "200"})
    topic = make_topic(
        broker, partitions=PARTITIONS, cleanup_policy="compact", segment_bytes=400_000,
        min_cleanable_dirty_ratio="0.01", delete_retention_ms=100, segment_ms=600_000)
    keys = sorted({line for lines in files.values() for line in lines if len(line) > 20})[:30_000]
    chance = random.Random(17)
    expected = {}
    sender = Sender(broker, **{"compression.type": codec, "batch.size": 50_000})
    for generation in range(5):
        chance.shuffle(keys)
        for number, key in enumerate(keys):
            if generation == 4 and number % 10 == 0:
                sender.send(topic, key, None)
                expected.pop(key, None)
            elif generation == 0 or number % 3:
                expected[key] = b"%d " % generation + hashlib.sha256(key).hexdigest().encode() + key
                sender.send(topic, key, expected[key])
        sender.producer.flush(30)
    sender.finish()
    produced = sum(high_watermark(broker, topic, partition) for partition in range(PARTITIONS))
    assert produced == sender.count

    # Only closed segments are compacted, so up to one segment a partition stays as it was written.
    def size():
        return sum(value for (name, labels), value in broker.metrics().items()
                   if name == "martlet_log_size_bytes" and dict(labels)["topic"] == topic)

    bytes_left = sum(len(key) + len(value) for key, value in expected.items())
    wait_until(lambda: size() < bytes_left * 1.6 + PARTITIONS * 400_000, 60, f"compaction ({bytes_left} bytes are due)",
               step=0.2)
    messages = read_all(broker, topic)
    assert len(messages) < produced * 0.7
    assert final_state(messages) == expected
    for partition in range(PARTITIONS):
        offsets = [m.offset() for m in messages if m.partition() == partition]
        assert offsets == sorted(set(offsets))
    for again in (broker.kill_and_start, broker.restart):
        again()
        assert final_state(read_all(broker, topic)) == expected
    # kafka-python reads the compacted batches too.
    (first,) = consume("kafka-python", broker.bootstrap, topic, 1)
    assert first.key in expected or first.value is None
