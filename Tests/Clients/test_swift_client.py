"""The Swift client through the command line, beside other clients."""

import subprocess

import confluent_kafka
import kafka

from clients import consume
from harness import BINARY

KEYS = [b"%d" % i for i in range(150)] + [b"key-%d" % i for i in range(150)] + "ä ß € 木".encode().split()


def partitions_by_key(broker, topic, partitions):
    """{key: partition}; a key in two partitions fails."""
    found = {}
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in range(partitions)])
    ends = 0
    while ends < partitions:
        for message in consumer.consume(500, 1):
            if message.error():
                ends += 1
            else:
                assert found.setdefault(message.key(), message.partition()) == message.partition()
    consumer.close()
    return found


def test_a_key_has_one_partition_whatever_the_client(broker, make_topic):
    """The Swift producer, librdkafka with Java's partitioner and kafka-python put each key into the same partition, so
    that they can share a topic. Catches another hash, another seed, or signs lost on the way."""
    topic = make_topic(broker, partitions=7)
    lines = b"".join(key + b"\tswift\n" for key in KEYS)
    subprocess.run([BINARY, "produce", topic, "-b", broker.bootstrap, "--key-separator", "\\t"], input=lines, check=True,
                   timeout=30)
    rdkafka = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2"})
    for key in KEYS:
        rdkafka.produce(topic, b"c", key)
    assert rdkafka.flush(20) == 0
    python = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap)
    for key in KEYS:
        python.send(topic, b"python", key)
    python.close(20)
    found = partitions_by_key(broker, topic, 7)
    assert set(found) == set(KEYS) and set(found.values()) == set(range(7))


def test_every_codec_of_the_swift_producer_is_read_by_others(broker, make_topic):
    """What the Swift producer compresses, each other client unpacks."""
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = make_topic(broker)
        values = [b"%d " % i + b"abc" * (i % 50) for i in range(500)]
        subprocess.run([BINARY, "produce", topic, "-b", broker.bootstrap, "--compression", codec],
                       input=b"\n".join(values) + b"\n", check=True, timeout=30)
        for client in ("confluent", "kafka-python", "aiokafka"):
            assert [m.value for m in consume(client, broker.bootstrap, topic, 500)] == values
