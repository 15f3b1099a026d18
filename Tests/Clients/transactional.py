"""A transactional producer of each client behind the same few calls, and readers at both isolation levels."""

import asyncio
import threading
import time

import aiokafka
import confluent_kafka
import kafka
from confluent_kafka import KafkaError

# Reconnect at once, so that a broker that comes back is found. Without a new bootstrap (KIP-899) when the one broker is
# away: librdkafka then keeps the old broker as the group's coordinator, and send_offsets_to_transaction waits for ever
# (its issues 5456 and 5511).
PATIENCE = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 100, "metadata.recovery.strategy": "none"}
QUIET = {"log_level": 0}


def patience(bootstrap):
    """In a cluster a client may know only brokers that die next; then it must begin anew."""
    return {**PATIENCE, "metadata.recovery.strategy": "rebootstrap"} if "," in bootstrap else PATIENCE


class ConfluentTransactions:
    def __init__(self, bootstrap, transactional_id, timeout=30, **options):
        """The time-out is that of the transactions, seconds."""
        self.limit = 20
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "linger.ms": 1,
             "transaction.timeout.ms": int(timeout * 1000), **patience(bootstrap), **QUIET, **options})
        self.group_consumer = None
        self.bootstrap = bootstrap
        self.retried(self.producer.init_transactions)

    def retried(self, call, *arguments):
        """librdkafka's calls may be repeated where it says so."""
        end = time.monotonic() + self.limit
        while True:
            try:
                return call(*arguments, max(0.1, end - time.monotonic()))
            except confluent_kafka.KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > end:
                    raise

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, partition, value, key=None):
        self.producer.produce(topic, value.encode(), key, partition=partition)
        self.producer.poll(0)

    def flush(self):
        assert self.producer.flush(20) == 0

    def send_offsets(self, offsets, group):
        """Offsets: {(topic, partition): offset}"""
        # Only its group is asked of the consumer.
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        try:
            places = [confluent_kafka.TopicPartition(*place, offset) for place, offset in offsets.items()]
            self.retried(self.producer.send_offsets_to_transaction, places, consumer.consumer_group_metadata())
        finally:
            consumer.close()

    def commit(self):
        self.retried(self.producer.commit_transaction)

    def abort(self):
        self.retried(self.producer.abort_transaction)

    def close(self):
        # What is open stays open: librdkafka does not end it, nor wait for it.
        self.producer.purge()
        self.producer = None


class KafkaPythonTransactions:
    def __init__(self, bootstrap, transactional_id, timeout=30, **options):
        self.producer = kafka.KafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=transactional_id, max_block_ms=20_000,
            transaction_timeout_ms=int(timeout * 1000), reconnect_backoff_ms=10, reconnect_backoff_max_ms=50,
            retry_backoff_ms=20, **options)
        self.producer.init_transactions()

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, partition, value, key=None):
        self.patiently(self.producer.send, topic, value.encode(), key, partition=partition)

    def patiently(self, call, *arguments, **options):
        """Between an old epoch's refusal and what comes of it (KIP-360) kafka-python takes no calls."""
        end = time.monotonic() + 10
        while True:
            try:
                return call(*arguments, **options)
            except kafka.errors.IllegalStateError as error:
                if "BUMPING_PRODUCER_EPOCH" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def flush(self):
        self.producer.flush(20)

    def send_offsets(self, offsets, group):
        self.producer.send_offsets_to_transaction(
            {kafka.TopicPartition(*place): kafka.OffsetAndMetadata(offset, "", -1)
             for place, offset in offsets.items()}, group)

    def commit(self):
        self.patiently(self.producer.commit_transaction)

    def abort(self):
        self.patiently(self.producer.abort_transaction)

    def close(self):
        self.producer.close(timeout=0)


class AIOKafkaTransactions:
    """aiokafka with an event loop of its own in a thread."""

    def __init__(self, bootstrap, transactional_id, timeout=30, **options):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

        async def start():
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=bootstrap, transactional_id=transactional_id, retry_backoff_ms=20,
                transaction_timeout_ms=int(timeout * 1000), **options)
            await producer.start()
            return producer

        self.producer = self.run(start())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, 20), self.loop).result(25)

    def begin(self):
        self.run(self.producer.begin_transaction())

    def send(self, topic, partition, value, key=None):
        self.run(self.producer.send(topic, value.encode(), key, partition))

    def flush(self):
        self.run(self.producer.flush())

    def send_offsets(self, offsets, group):
        self.run(self.producer.send_offsets_to_transaction(
            {aiokafka.TopicPartition(*place): offset for place, offset in offsets.items()}, group))

    def commit(self):
        self.run(self.producer.commit_transaction())

    def abort(self):
        self.run(self.producer.abort_transaction())

    def close(self):
        async def stop():
            # stop() would wait for what is open.
            try:
                await asyncio.wait_for(self.producer.stop(), 1)
            except Exception:  # Whatever it did not manage was its own.
                pass

        self.run(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)


TRANSACTIONS = {"confluent": ConfluentTransactions, "kafka-python": KafkaPythonTransactions,
                "aiokafka": AIOKafkaTransactions}


# Readers


def read_to_end(client, bootstrap, topic, partition=0, committed=True, limit=20):
    """All values from the partition's beginning to its end at the isolation level, [(offset, key, value)].
    At read_committed that is the last stable offset."""
    level = "read_committed" if committed else "read_uncommitted"
    return _READ[client](bootstrap, topic, partition, level, limit)


def values(client, bootstrap, topic, partitions, committed=True):
    """{partition: [value]}"""
    return {partition: [value for _, _, value in read_to_end(client, bootstrap, topic, partition, committed)]
            for partition in range(partitions)}


def _confluent_read(bootstrap, topic, partition, level, limit):
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False,
         "isolation.level": level, "enable.partition.eof": True, "fetch.wait.max.ms": 10,
         "auto.offset.reset": "error", **patience(bootstrap)})
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, confluent_kafka.OFFSET_BEGINNING)])
    found = []
    end = time.monotonic() + limit
    try:
        while time.monotonic() < end:
            for message in consumer.consume(1000, 0.05):
                if message.error():
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        return found
                    raise confluent_kafka.KafkaException(message.error())
                found.append((message.offset(), message.key(), message.value().decode()))
    finally:
        consumer.close()
    raise AssertionError(f"{topic}-{partition} has no end after {limit} s; read {len(found)}")


def _kafka_python_read(bootstrap, topic, partition, level, limit):
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level=level, auto_offset_reset="none")
    place = kafka.TopicPartition(topic, partition)
    found = []
    end = time.monotonic() + limit
    try:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        last = consumer.end_offsets([place])[place]
        while time.monotonic() < end:
            if consumer.position(place) >= last:
                return found
            for records in consumer.poll(500, max_records=1000).values():
                found += [(record.offset, record.key, record.value.decode()) for record in records]
    finally:
        consumer.close()
    raise AssertionError(f"{topic}-{partition} has no end after {limit} s; read {len(found)}")


def _aiokafka_read(bootstrap, topic, partition, level, limit):
    async def read():
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level=level, auto_offset_reset="none")
        await consumer.start()
        place = aiokafka.TopicPartition(topic, partition)
        found = []
        end = time.monotonic() + limit
        try:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            last = (await consumer.end_offsets([place]))[place]
            while time.monotonic() < end:
                if await consumer.position(place) >= last:
                    return found
                for records in (await consumer.getmany(timeout_ms=200, max_records=1000)).values():
                    found += [(record.offset, record.key, record.value.decode()) for record in records]
        finally:
            await consumer.stop()
        raise AssertionError(f"{topic}-{partition} has no end after {limit} s; read {len(found)}")

    return asyncio.run(read())


_READ = {"confluent": _confluent_read, "kafka-python": _kafka_python_read, "aiokafka": _aiokafka_read}


def committed_offsets(broker, group, topic, partitions):
    """What the group has committed and no transaction could still change, {partition: offset}; None: nothing."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": group, **patience(broker.bootstrap)})
    try:
        places = [confluent_kafka.TopicPartition(topic, partition) for partition in range(partitions)]
        return {place.partition: place.offset if place.offset >= 0 else None
                for place in consumer.committed(places, timeout=20)}
    finally:
        consumer.close()
