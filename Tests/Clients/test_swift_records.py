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
    Message(b"key", b"value", [("name", b"text"), ("name", b"again"), ("nothing", None), ("empty", b"")], 1_000),
    Message(b"deleted", None, [], 2_000), Message(None, None, [("only", b"headers")], 3_000),
    Message(b"", b"", [], 4_000), Message(None, "ä ß € 木".encode(), [], 5_000),
    Message(None, bytes(range(256)) * 400, [], 6_000),
] + [Message(b"%d" % number, b"%d " % number + b"abc" * (number % 50), [], 10_000 + number) for number in range(300)]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_swift_consumer_reads_what_others_write(broker, make_topic, client):
    """Every codec; keys, values and headers that are absent, empty, text or any bytes; timestamps."""
    for codec in CODECS:
        topic = make_topic(broker)
        offsets = produce(client, broker.bootstrap, topic, MESSAGES, codec)
        found = read(broker, topic)
        assert [message.content() for message in found] == [message.content() for message in MESSAGES], codec
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


@pytest.mark.parametrize("codec", CODECS)
def test_others_do_not_see_aborted_transactions_of_the_swift_producer(broker, make_topic, codec):
    topic = make_topic(broker, 2)
    run("write", broker, topic=topic, partitions=2, id="swift-id", count=9, compression=codec)
    for client in TRANSACTIONS:
        for partition in range(2):
            values = [value for _, _, value in read_to_end(client, broker.bootstrap, topic, partition)]
            assert values == [f"committed-{number}" for number in (0, 1, 3, 4, 6, 7)], client
            everything = read_to_end(client, broker.bootstrap, topic, partition, committed=False)
            assert len(everything) == 9, client
