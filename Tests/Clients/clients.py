"""The same few things done with each client, so that a test can run over all of them."""

import asyncio
import json
import subprocess
import time
from dataclasses import dataclass, field

import aiokafka
import confluent_kafka
import kafka

from harness import unique, wait_until

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
CLIENTS = ["confluent", "kafka-python", "aiokafka"]


def commit_offsets(consumer, offsets):
    """As someone outside of the group. librdkafka gives up at once while the group is being loaded, which it is for a moment
    where it is the first."""
    def is_done():
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() != confluent_kafka.KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
                raise
            return False
        return True

    wait_until(is_done, 20, "the commit")


@dataclass
class Message:
    key: bytes | None
    value: bytes | None
    headers: list = field(default_factory=list)
    timestamp: int | None = None
    offset: int | None = None
    partition: int | None = None
    timestamp_type: int | None = None

    def content(self):
        return self.key, self.value, self.headers, self.timestamp


def produce(client, bootstrap, topic, messages, codec="none", acks="all", partition=0, **options):
    """Sends and waits for all; returns the offsets in the order of the messages (-1 each with acks=0)."""
    return _PRODUCE[client](bootstrap, topic, messages, codec, acks, partition, options)


def consume(client, bootstrap, topic, count, partition=0, limit=30, **options):
    """The first `count` messages of the partition."""
    messages = _CONSUME[client](bootstrap, topic, count, partition, limit, options)
    assert len(messages) == count, f"{client} read {len(messages)} of {count} messages within {limit} s"
    return messages


# confluent-kafka


def _confluent_produce(bootstrap, topic, messages, codec, acks, partition, options):
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "compression.type": codec, "acks": acks, "message.max.bytes": 10_000_000,
         **options})
    offsets = [None] * len(messages)
    failures = []

    def report(index):
        def delivered(error, message):
            if error:
                failures.append(error)
            else:
                offsets[index] = message.offset()
        return delivered

    for index, message in enumerate(messages):
        extra = {} if message.timestamp is None else {"timestamp": message.timestamp}
        while True:
            try:
                producer.produce(
                    topic, message.value, message.key, partition=partition, headers=message.headers or None,
                    on_delivery=report(index), **extra)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0, "confluent-kafka could not send all"
    if failures:
        raise confluent_kafka.KafkaException(failures[0])
    return offsets


def _confluent_consume(bootstrap, topic, count, partition, limit, options):
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": unique("reader"), "enable.auto.commit": False,
         "auto.offset.reset": "earliest", "check.crcs": True, **options})
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, confluent_kafka.OFFSET_BEGINNING)])
    messages = []
    end = time.monotonic() + limit
    while len(messages) < count and time.monotonic() < end:
        for message in consumer.consume(count - len(messages), 0.5):
            if message.error():
                raise confluent_kafka.KafkaException(message.error())
            kind, timestamp = message.timestamp()
            # librdkafka says CreateTime 1, LogAppendTime 2; the protocol 0 and 1.
            messages.append(Message(message.key(), message.value(), message.headers() or [], timestamp,
                                    message.offset(), message.partition(), kind - 1))
    consumer.close()
    return messages


# kafka-python


def _kafka_python_produce(bootstrap, topic, messages, codec, acks, partition, options):
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, acks=acks,
        max_request_size=10_000_000, enable_idempotence=str(acks) == "all", **options)
    try:
        futures = [
            producer.send(topic, message.value, message.key, message.headers, partition, message.timestamp)
            for message in messages]
        producer.flush(30)
        return [future.get(30).offset for future in futures]
    finally:
        producer.close(timeout=5)


def _kafka_python_consume(bootstrap, topic, count, partition, limit, options):
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", check_crcs=True, enable_auto_commit=False,
        **options)
    place = kafka.TopicPartition(topic, partition)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    messages = []
    end = time.monotonic() + limit
    while len(messages) < count and time.monotonic() < end:
        for records in consumer.poll(500, max_records=count - len(messages)).values():
            for r in records:
                messages.append(
                    Message(r.key, r.value, list(r.headers), r.timestamp, r.offset, r.partition, r.timestamp_type))
    consumer.close()
    return messages


# aiokafka


def _aiokafka_produce(bootstrap, topic, messages, codec, acks, partition, options):
    async def send():
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec,
            acks=acks if acks == "all" else int(acks), max_request_size=10_000_000,
            enable_idempotence=str(acks) == "all", **options)
        await producer.start()
        try:
            sent = [
                await producer.send(topic, message.value, message.key, partition, message.timestamp, message.headers)
                for message in messages]
            done = await asyncio.wait_for(asyncio.gather(*sent), 30)
            return [-1 if metadata is None else metadata.offset for metadata in done]
        finally:
            await producer.stop()

    return asyncio.run(send())


def _aiokafka_consume(bootstrap, topic, count, partition, limit, options):
    async def read():
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=bootstrap, auto_offset_reset="earliest", check_crcs=True, enable_auto_commit=False,
            **options)
        await consumer.start()
        try:
            place = aiokafka.TopicPartition(topic, partition)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            messages = []
            end = time.monotonic() + limit
            while len(messages) < count and time.monotonic() < end:
                for records in (await consumer.getmany(timeout_ms=500, max_records=count - len(messages))).values():
                    for r in records:
                        messages.append(
                            Message(r.key, r.value, list(r.headers), r.timestamp, r.offset, r.partition,
                                    r.timestamp_type))
            return messages
        finally:
            await consumer.stop()

    return asyncio.run(read())


_PRODUCE = {"confluent": _confluent_produce, "kafka-python": _kafka_python_produce, "aiokafka": _aiokafka_produce}
_CONSUME = {"confluent": _confluent_consume, "kafka-python": _kafka_python_consume, "aiokafka": _aiokafka_consume}


# kcat


def kcat(bootstrap, *arguments, stdin=None, limit=30, check=True):
    """Runs kcat to its end and returns its output."""
    result = subprocess.run(
        ["kcat", "-b", bootstrap, *arguments], input=stdin, capture_output=True, timeout=limit, check=False)
    if check:
        assert result.returncode == 0, result.stderr.decode(errors="replace")
    return result.stdout


def kcat_read(bootstrap, topic, *arguments):
    """The topic from its beginning to its end, as kcat's JSON envelopes."""
    output = kcat(bootstrap, "-C", "-q", "-t", topic, "-o", "beginning", "-e", "-J", *arguments)
    return [json.loads(line) for line in output.splitlines()]
