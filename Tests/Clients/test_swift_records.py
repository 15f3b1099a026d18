"""Records and transactions between the Swift client and others."""

import base64
import json
import subprocess

import pytest

from clients import CLIENTS, CODECS, Message, produce
from swift_client import command
from transactional import TRANSACTIONS, read_to_end


def run(mode, broker, **options):
    """Its lines of output."""
    options = {name: value for name, value in options.items() if value is not None}
    flags = [f"--{options.pop('flag')}"] if "flag" in options else []
    result = subprocess.run(command(mode, broker.bootstrap, *flags, **options), capture_output=True, timeout=40,
                            text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def bytes_of(text):
    return None if text is None else base64.b64decode(text)


def read(broker, topic, **options):
    """[Message] in the order of each partition"""
    return [Message(bytes_of(line.get("key")), bytes_of(line.get("value")),
                    [(header["key"], bytes_of(header.get("value"))) for header in line["headers"]],
                    line["timestamp"], line["offset"], line["partition"])
            for line in run("read", broker, topic=topic, **options)]


MESSAGES = [
    Message(b"key", b"value", [("name", b"text"), ("name", b"again"), ("empty", b"")], 1_000),
    Message(b"key", b"value", [("nothing", None), ("any", bytes(range(256)))], 1_500),
    Message(b"deleted", None, [], 2_000), Message(None, None, [("only", b"headers")], 3_000),
    Message(b"", b"", [], 4_000), Message(None, "ä ß € 木".encode(), [], 5_000),
    Message(None, bytes(range(256)) * 400, [], 6_000),
] + [Message(b"%d" % number, b"%d " % number + b"abc" * (number % 50), [], 10_000 + number) for number in range(300)]


def is_possible(message):
    """With kafka-python and aiokafka."""
    return (message.key, message.value) != (None, None) and all(value is not None for _, value in message.headers)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_swift_consumer_reads_what_others_write(broker, make_topic, client):
    """Every codec; keys, values and headers that are absent, empty, text or any bytes; timestamps."""
    messages = [message for message in MESSAGES if client == "confluent" or is_possible(message)]
    for codec in CODECS:
        topic = make_topic(broker)
        offsets = produce(client, broker.bootstrap, topic, messages, codec)
        found = read(broker, topic)
        assert [message.content() for message in found] == [message.content() for message in messages], codec
        assert [message.offset for message in found] == offsets


@pytest.mark.parametrize("client", TRANSACTIONS)
def test_the_swift_consumer_does_not_see_aborted_transactions_of_others(broker, make_topic, client):
    topic = make_topic(broker, 2)
    producer = TRANSACTIONS[client](broker.bootstrap, f"{client}-id")
    try:
        for number in range(9):
            outcome = ("committed", "committed", "aborted")[number % 3]
            producer.begin()
            for partition in range(2):
                producer.send(topic, partition, f"{outcome}-{number}")
            producer.flush()
            (producer.commit if outcome == "committed" else producer.abort)()
        # One stays open, which a reader of committed records must not wait for when it reads to the end that it sees.
        producer.begin()
        producer.send(topic, 0, "open")
        producer.flush()
        expected = [f"committed-{number}" for number in (0, 1, 3, 4, 6, 7)]
        for partition in range(2):
            values = [m.value.decode() for m in read(broker, topic, flag="committed") if m.partition == partition]
            assert values == expected
        everything = [m.value.decode() for m in read(broker, topic) if m.partition == 0]
        assert everything == [f"{'aborted' if n % 3 == 2 else 'committed'}-{n}" for n in range(9)] + ["open"]
        producer.abort()
    finally:
        producer.close()


def test_others_do_not_see_aborted_transactions_of_the_swift_producer(broker, make_topic):
    """With each codec."""
    for codec in CODECS:
        topic = make_topic(broker, 2)
        run("write", broker, topic=topic, partitions=2, id="swift-id", count=9, compression=codec)
        for partition, client in [(0, "confluent"), (1, "kafka-python"), (1, "aiokafka")]:
            values = [value for _, _, value in read_to_end(client, broker.bootstrap, topic, partition)]
            assert values == [f"committed-{number}" for number in (0, 1, 3, 4, 6, 7)], (codec, client)
        assert len(read_to_end("confluent", broker.bootstrap, topic, 0, committed=False)) == 9
