"""One worker of a consume-transform-produce loop, in a process of its own so that it can be killed.

Arguments: client, bootstrap servers, input topic, output topic, group, transactional id, the worker's number (unique
among all of the test), its history's file, and the partitions of its own, separated by commas.

Each batch of inputs is one transaction: an output for each input, and the offsets. What can be aborted is aborted and
read again from the committed offsets; what is fatal ends the process with 3, what hangs in the client ends it with
SIGALRM, and whoever started it starts another.

confluent-kafka's workers share the partitions as members of the group, which fences those that lost theirs (KIP-447).
aiokafka knows the group's name only, so its workers have partitions of their own, and each new worker begins with
fencing the one before it by its transactional id."""

import asyncio
import contextlib
import faulthandler
import json
import signal
import sys
import time

import aiokafka
import aiokafka.errors
import confluent_kafka

from history import Recorder, place
from transactional import patience

FATAL = 3
BATCH = 20
OUTPUTS = 4
# In the middle of each transaction, so that kills come there.
PAUSE = 0.02
STUCK_SECONDS = 20


class Worker:
    def __init__(self, bootstrap, source, sink, group, transactional_id, number, path):
        self.bootstrap, self.source, self.sink = bootstrap, source, sink
        self.group, self.transactional_id = group, transactional_id
        self.number = int(number)
        self.recorder = Recorder(path)
        self.producing, self.consuming = f"producer-{number}", f"consumer-{number}"
        self.transactions = 0
        self.transaction = None
        self.is_running = True
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_):
        self.is_running = False

    def next_transaction(self):
        self.transactions += 1
        self.transaction = self.number * 1_000_000 + self.transactions

    def output(self, partition, offset, value):
        """(partition, value). Each attempt's value is another."""
        text = json.dumps({"partition": partition, "offset": offset, "value": value, "attempt": self.transaction})
        return (partition + offset) % OUTPUTS, text

    def sending(self, partition, value):
        return self.recorder.ask("send", self.producing, transaction=self.transaction, value=value,
                                 **place(self.sink, partition))

    def committing(self, offsets):
        return [self.recorder.ask("offset-commit", self.consuming, group=self.group, transaction=self.transaction,
                                  offset=offset, **place(self.source, partition))
                for partition, offset in offsets.items()]

    def answered(self, numbers, outcome):
        for number in numbers:
            self.recorder.answered(number, outcome)

    def ending(self):
        return self.recorder.ask("transaction-end", self.producing, transaction=self.transaction)

    def polled(self, records):
        """Records: [(partition, offset, value)]"""
        self.recorder.saw("poll", self.consuming, isolation="read_committed", records=[
            {**place(self.source, partition), "offset": offset, "value": value}
            for partition, offset, value in records])

    def saw_partitions(self, kind, partitions):
        self.recorder.saw(kind, self.consuming, partitions=[place(self.source, p) for p in partitions])

    def sought(self, partition, offset):
        self.recorder.saw("position", self.consuming, offset=offset, **place(self.source, partition))


def next_offsets(records):
    return {partition: offset + 1 for partition, offset, _ in records}


class ConfluentWorker(Worker):
    def run(self):
        try:
            self.work()
        except (confluent_kafka.KafkaException, SystemError) as error:
            # What is fatal while callbacks run comes as a SystemError.
            print(f"worker {self.number}: {error!r} {error.__cause__!r}", file=sys.stderr, flush=True)
            sys.exit(FATAL)

    def work(self):
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.bootstrap, "transactional.id": self.transactional_id, "linger.ms": 1,
             "transaction.timeout.ms": 10_000, **patience(self.bootstrap)})
        self.retried(self.producer.init_transactions)
        options = {"group.instance.id": self.transactional_id} if self.transactional_id.endswith("static") else {}
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": self.group, "isolation.level": "read_committed",
             "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 2000,
             "heartbeat.interval.ms": 200, "fetch.wait.max.ms": 100, **patience(self.bootstrap), **options})
        self.consumer.subscribe(
            [self.source], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked)
        self.batch = []
        while self.is_running:
            self.fill(0.05)
            for _ in range(BATCH - 1):
                self.fill(0)
            records, self.batch = self.batch, []
            if records:
                self.polled(records)
                self.transform(records)
        self.consumer.close()

    def fill(self, limit):
        message = self.consumer.poll(limit)
        if message is not None and not message.error():
            self.batch.append((message.partition(), message.offset(), message.value().decode()))

    def assigned(self, _, partitions):
        self.saw_partitions("assigned", [p.partition for p in partitions])

    def revoked(self, _, partitions):
        # Another member will process these, and the group's present generation would not tell.
        lost = [p.partition for p in partitions]
        self.batch = [record for record in self.batch if record[0] not in lost]
        self.saw_partitions("revoked", lost)

    def transform(self, records):
        self.next_transaction()
        try:
            self.producer.begin_transaction()
            for record in records:
                partition, value = self.output(*record)
                self.producer.produce(self.sink, value, partition=partition,
                                      on_delivery=self.delivery(self.sending(partition, value)))
            time.sleep(PAUSE)
            offsets = next_offsets(records)
            numbers = self.committing(offsets)
            places = [confluent_kafka.TopicPartition(self.source, p, offset) for p, offset in offsets.items()]
            self.retried(self.producer.send_offsets_to_transaction, places, self.consumer.consumer_group_metadata())
            self.answered(numbers, "acknowledged")
            # The deliveries are known before the end is asked for.
            self.producer.flush(20)
            end = self.ending()
            self.retried(self.producer.commit_transaction)
            self.recorder.answered(end, "committed")
        except confluent_kafka.KafkaException as exception:
            error = exception.args[0]
            print(f"worker {self.number}: {error!r}", file=sys.stderr, flush=True)
            if not error.txn_requires_abort():
                sys.exit(FATAL)
            self.abort()

    def abort(self):
        end = self.ending()
        self.retried(self.producer.abort_transaction)
        self.recorder.answered(end, "aborted")
        # Back to where the group stands.
        for committed in self.retried_committed(self.consumer.assignment()):
            offset = max(0, committed.offset)
            self.consumer.seek(confluent_kafka.TopicPartition(self.source, committed.partition, offset))
            self.sought(committed.partition, offset)

    def retried_committed(self, partitions):
        for attempt in range(20):
            try:
                return self.consumer.committed(partitions, timeout=5)
            except confluent_kafka.KafkaException:
                if attempt == 19:
                    raise

    def delivery(self, number):
        def delivered(error, message):
            if error:
                self.recorder.answered(number, "unknown")
            else:
                self.recorder.answered(number, "acknowledged", offset=message.offset())
        return delivered

    def retried(self, call, *arguments):
        for _ in range(20):
            # librdkafka's send_offsets_to_transaction may wait for ever for a coordinator that is not one any more
            # (its issues 5456 and 5511), and no handler runs meanwhile. The alarm ends the process.
            signal.alarm(STUCK_SECONDS)
            try:
                return call(*arguments, 10)
            except confluent_kafka.KafkaException as error:
                if not error.args[0].retriable():
                    raise
                print(f"{time.time():.3f} worker {self.number}: {call.__name__}: {error.args[0]!r}", file=sys.stderr,
                      flush=True)
            finally:
                signal.alarm(0)
        sys.exit(FATAL)


class AIOKafkaWorker(Worker):
    def __init__(self, *arguments, partitions):
        super().__init__(*arguments)
        self.partitions = [int(partition) for partition in partitions.split(",")]

    def run(self):
        try:
            asyncio.run(self.work())
        # In a fatal state aiokafka asserts instead of saying so.
        except (aiokafka.errors.KafkaError, AssertionError, asyncio.TimeoutError) as error:
            print(f"worker {self.number}: {error!r}", file=sys.stderr, flush=True)
            sys.exit(FATAL)

    async def work(self):
        async with contextlib.AsyncExitStack() as stack:
            self.producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=self.bootstrap, transactional_id=self.transactional_id, retry_backoff_ms=20,
                transaction_timeout_ms=10_000)
            # Ends what the worker before left open, so that its offsets are final when they are asked for.
            await self.producer.start()
            stack.push_async_callback(self.close, self.producer)
            self.consumer = aiokafka.AIOKafkaConsumer(
                bootstrap_servers=self.bootstrap, group_id=self.group, isolation_level="read_committed",
                enable_auto_commit=False, auto_offset_reset="earliest", retry_backoff_ms=20, fetch_max_wait_ms=100)
            await self.consumer.start()
            stack.push_async_callback(self.close, self.consumer)
            self.places = [aiokafka.TopicPartition(self.source, partition) for partition in self.partitions]
            self.consumer.assign(self.places)
            self.saw_partitions("assigned", self.partitions)
            await self.rewind()
            while self.is_running:
                found = await self.consumer.getmany(*self.places, timeout_ms=50, max_records=BATCH)
                records = [(r.partition, r.offset, r.value.decode()) for part in found.values() for r in part]
                if records:
                    self.polled(records)
                    await self.transform(records)

    async def close(self, client):
        # A client whose broker is away would wait for it.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.stop(), 2)

    async def rewind(self):
        for where in self.places:
            offset = await asyncio.wait_for(self.consumer.committed(where), 20) or 0
            self.consumer.seek(where, offset)
            self.sought(where.partition, offset)

    async def transform(self, records):
        self.next_transaction()
        try:
            await self.producer.begin_transaction()
            await asyncio.wait_for(asyncio.gather(*[self.send(*self.output(*record)) for record in records]), 20)
            await asyncio.sleep(PAUSE)
            offsets = next_offsets(records)
            numbers = self.committing(offsets)
            await asyncio.wait_for(self.producer.send_offsets_to_transaction(
                {aiokafka.TopicPartition(self.source, p): offset for p, offset in offsets.items()}, self.group), 20)
            self.answered(numbers, "acknowledged")
            end = self.ending()
            await asyncio.wait_for(self.producer.commit_transaction(), 20)
            self.recorder.answered(end, "committed")
        except (aiokafka.errors.ProducerFenced, asyncio.TimeoutError) as error:
            raise aiokafka.errors.KafkaError(repr(error)) from error
        except aiokafka.errors.KafkaError as error:
            print(f"worker {self.number}: {error!r}", file=sys.stderr, flush=True)
            end = self.ending()
            await asyncio.wait_for(self.producer.abort_transaction(), 20)
            self.recorder.answered(end, "aborted")
            await self.rewind()

    async def send(self, partition, value):
        number = self.sending(partition, value)
        try:
            metadata = await self.producer.send_and_wait(self.sink, value.encode(), partition=partition)
        except aiokafka.errors.KafkaError:
            self.recorder.answered(number, "unknown")
            raise
        self.recorder.answered(number, "acknowledged", offset=metadata.offset)


def main():
    # Whoever finds it stuck asks where.
    faulthandler.register(signal.SIGUSR1)
    client, *arguments, partitions = sys.argv[1:]
    if client == "confluent":
        ConfluentWorker(*arguments).run()
    else:
        AIOKafkaWorker(*arguments, partitions=partitions).run()


main()
