"""Records come back as they were sent, whoever sent them, however compressed, whoever reads."""

import random
import time

import confluent_kafka
import kafka
import pytest

from clients import CLIENTS, CODECS, Message, consume, kcat, kcat_read, produce


def sample_messages(codec):
    """Compressible and not, large and small, with all that may be absent absent somewhere."""
    noise = random.Random(codec)
    base = 1_700_000_000_000
    messages = [
        Message(b"key", b"value", [("header", b"one"), ("header", b"two"), ("empty", b"")], base),
        Message(None, b"no key", [], base + 1),
        Message(b"no value", None, [("null", None)], base + 2),
        Message(None, None, [], base + 3),
        Message(b"", b"", [], base + 4),
        Message("schlüssel".encode(), "wert ☃".encode(), [("kopf", "größe".encode())], base + 5),
        Message(b"zeros", bytes(100_000), [], base + 6),
        Message(b"noise", noise.randbytes(100_000), [], base + 7),
    ]
    messages += [Message(b"k%d" % i, b"v%d" % i * (i % 50), [], base + 8 + i) for i in range(500)]
    return messages


@pytest.mark.parametrize("codec", CODECS)
def test_every_client_reads_what_every_client_wrote(broker, make_topic, codec):
    """Keys, values, headers, timestamps, and their absence, survive each codec between each two clients. Catches a
    batch that is stored altered, and offsets or timestamps that are answered wrong."""
    for writer in CLIENTS:
        messages = sample_messages(codec)
        if writer != "confluent":
            # The others refuse to send these; they read them below, from the first.
            messages = [m for m in messages if (m.key is not None or m.value is not None)
                        and all(value is not None for _, value in m.headers)]
        topic = make_topic(broker)
        # With linger the client makes batches of many records.
        linger = {"confluent": {"linger.ms": 50}, "kafka-python": {"linger_ms": 50}, "aiokafka": {"linger_ms": 50}}
        offsets = produce(writer, broker.bootstrap, topic, messages, codec, **linger[writer])
        assert sorted(offsets) == list(range(len(messages))), writer
        for reader in CLIENTS:
            read = consume(reader, broker.bootstrap, topic, len(messages))
            by_offset = {message.offset: message for message in read}
            for offset, message in zip(offsets, messages):
                assert by_offset[offset].content() == message.content(), f"{writer} → {reader} at offset {offset}"
                assert by_offset[offset].timestamp_type == 0
            assert [m.offset for m in read] == list(range(len(messages)))


@pytest.mark.parametrize("codec", CODECS)
def test_kcat_and_the_others(broker, make_topic, codec):
    """A C program that was linked years ago writes and reads. Catches a reply that only the Python bindings parse."""
    topic = make_topic(broker)
    lines = [f"k{i}:value {i} {'x' * (i % 100)}" for i in range(1000)]
    kcat(broker.bootstrap, "-P", "-t", topic, "-K:", "-z", codec, stdin="\n".join(lines).encode())
    read = kcat_read(broker.bootstrap, topic)
    assert [f"{m['key']}:{m['payload']}" for m in read] == lines
    python = consume("kafka-python", broker.bootstrap, topic, len(lines))
    assert [m.key + b":" + m.value for m in python] == [line.encode() for line in lines]


@pytest.mark.parametrize("codec", ["zstd", "gzip", "lz4", "snappy", "uncompressed"])
def test_a_topic_with_a_codec_of_its_own_stores_what_the_producer_sent(broker, make_topic, codec):
    """`compression.type` of a topic makes the broker compress anew. Catches a recompression that loses or reorders."""
    topic = make_topic(broker, compression_type=codec)
    messages = sample_messages(codec)
    produce("confluent", broker.bootstrap, topic, messages, "lz4" if codec != "lz4" else "none", **{"linger.ms": 20})
    for reader in CLIENTS:
        read = consume(reader, broker.bootstrap, topic, len(messages))
        assert [m.content() for m in read] == [m.content() for m in messages], reader


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_log_append_time_is_the_brokers(broker, make_topic, client, codec):
    """With message.timestamp.type=LogAppendTime readers see the broker's clock. Catches the producer's time shining
    through, in the batch or in the produce reply."""
    topic = make_topic(broker, message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    produce(client, broker.bootstrap, topic, [Message(b"k", b"v%d" % i, [], 1_000) for i in range(10)], codec)
    after = int(time.time() * 1000)
    for reader in CLIENTS:
        for message in consume(reader, broker.bootstrap, topic, 10):
            assert before <= message.timestamp <= after
            assert message.timestamp_type == 1


def test_log_append_time_in_the_produce_reply(broker, make_topic):
    """The producer is told the time that its records got."""
    topic = make_topic(broker, message_timestamp_type="LogAppendTime")
    producer = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap)
    before = int(time.time() * 1000)
    metadata = producer.send(topic, b"v", timestamp_ms=1_000).get(10)
    assert before <= metadata.timestamp <= int(time.time() * 1000)
    producer.close()


@pytest.mark.parametrize("acks", ["0", "1", "all"])
@pytest.mark.parametrize("client", CLIENTS)
def test_acks(broker, make_topic, client, acks):
    """All three promises deliver, in order, on a healthy broker; acks=0 gets no reply and must not shift the replies
    of the requests after it (the consumer and the metadata requests on the same connection would fail)."""
    topic = make_topic(broker)
    messages = [Message(b"k", b"%d" % i, [], 1 + i) for i in range(2000)]
    value = acks if client != "kafka-python" or acks == "all" else int(acks)
    produce(client, broker.bootstrap, topic, messages, acks=value)
    read = consume(client, broker.bootstrap, topic, len(messages))
    assert [m.value for m in read] == [m.value for m in messages]


@pytest.mark.parametrize("writer", CLIENTS)
def test_messages_of_a_megabyte(broker, make_topic, writer):
    """Large records go through whole, to each client. Catches frames cut at a buffer's end or at a segment's."""
    topic = make_topic(broker, segment_bytes=3_000_000)
    noise = random.Random(7)
    messages = [Message(b"%d" % i, noise.randbytes(1_000_000), [], 1 + i) for i in range(8)]
    produce(writer, broker.bootstrap, topic, messages)
    for reader in CLIENTS:
        assert [m.value for m in consume(reader, broker.bootstrap, topic, 8)] == [m.value for m in messages], reader


def test_a_message_that_is_too_large_is_refused_and_the_connection_goes_on(broker, make_topic):
    """MESSAGE_TOO_LARGE and nothing worse: not stored, not retried for ever, the producer goes on."""
    topic = make_topic(broker, max_message_bytes=10_000)
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 1_000_000})
    outcomes = []
    for size in (100, 50_000, 200):
        producer.produce(topic, b"x" * size, on_delivery=lambda error, message: outcomes.append(error))
        assert producer.flush(20) == 0
    assert [e.code() if e else None for e in outcomes] == [None, confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE, None]

    # As an idempotent producer kafka-python gives up for good after such an error.
    python = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=False)
    with pytest.raises(kafka.errors.MessageSizeTooLargeError):
        python.send(topic, b"y" * 50_000).get(20)
    assert python.send(topic, b"y" * 300).get(20).offset == 2
    python.close()
    assert [len(m.value) for m in consume("aiokafka", broker.bootstrap, topic, 3)] == [100, 200, 300]


def test_a_raised_limit_lets_large_messages_in(broker, make_topic):
    """max.message.bytes of the topic counts, not only the default."""
    topic = make_topic(broker, max_message_bytes=6_000_000)
    value = random.Random(3).randbytes(5_000_000)
    produce("confluent", broker.bootstrap, topic, [Message(None, value, [], 1)])
    for reader in CLIENTS:
        # One message larger than the client's fetch size must come all the same (KIP-74).
        assert consume(reader, broker.bootstrap, topic, 1)[0].value == value


def test_order_and_batches_over_many_partitions(broker, make_topic):
    """A busy producer with lingering batches over 8 partitions: everything arrives once, in order per partition."""
    topic = make_topic(broker, partitions=8)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": broker.bootstrap, "linger.ms": 5, "batch.num.messages": 1000,
         "queue.buffering.max.messages": 200_000, "enable.idempotence": True, "compression.type": "lz4"})
    count = 80_000
    for i in range(count):
        producer.produce(topic, b"%d" % i, partition=i % 8)
        if i % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
    for partition in range(8):
        read = consume("confluent", broker.bootstrap, topic, count // 8, partition)
        assert [int(m.value) for m in read] == list(range(partition, count, 8))


def test_topics_are_made_when_first_used(broker):
    """auto.create.topics.enable: the first produce to an unknown topic makes it, for each client."""
    for client in CLIENTS:
        produce(client, broker.bootstrap, f"made-for-{client}", [Message(b"k", b"v", [], 1)])
        assert consume(client, broker.bootstrap, f"made-for-{client}", 1)[0].value == b"v"


def test_no_topics_are_made_when_that_is_off(make_broker):
    """With auto.create.topics.enable=false an unknown topic stays unknown."""
    broker = make_broker({"auto.create.topics.enable": "false"})
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, "topic.metadata.propagation.max.ms": 0})
    errors = []
    with pytest.raises(confluent_kafka.KafkaException):
        # Either the call or the delivery says it.
        producer.produce("unknown", b"v", on_delivery=lambda error, message: errors.append(error))
        producer.flush(20)
        raise confluent_kafka.KafkaException(errors[0])
    assert "unknown" not in confluent_kafka.admin.AdminClient(
        {"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
