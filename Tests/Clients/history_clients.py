"""Clients that do something again and again and record it, a last read of it all, and what is changed in a history to
see whether the checker notices."""

import collections
import copy
import os
import random
import threading
import time

import confluent_kafka
from confluent_kafka import KafkaError

import history
from transactional import QUIET, patience, read_to_end

PARTITIONS = 3


class Client(threading.Thread):
    """Does something again and again until told to stop, and records it."""

    def __init__(self, broker, topic, recorder, name, seed):
        super().__init__(daemon=True)
        self.broker, self.topic, self.recorder, self.process = broker, topic, recorder, name
        self.chance = random.Random(seed)
        self.stopping = threading.Event()
        self.problem = None
        self.rounds = 0
        self.times_stuck = 0
        self.start()

    def run(self):
        try:
            self.begin()
            while not self.stopping.is_set():
                try:
                    self.once()
                except confluent_kafka.KafkaException as error:
                    if not self.starts_anew_after(error.args[0]):
                        raise
                except Stuck:
                    self.times_stuck += 1
                    self.begin_session()
                except SystemError:
                    # confluent-kafka's extension has left an exception behind, which the next call trips over.
                    self.begin_session()
                self.rounds += 1
            self.end()
        except Exception as error:
            self.problem = f"{self.process}: {error!r}"

    def starts_anew_after(self, error):
        return False

    def finish(self, limit=60):
        self.stopping.set()
        self.join(limit)
        assert not self.is_alive(), f"{self.process} does not end"
        assert self.problem is None, self.problem


class Producer(Client):
    """Sends a few values to random partitions; with a transactional id, in transactions of random outcome."""

    configuration = {"enable.idempotence": True, "message.timeout.ms": 60_000}
    # How often it may give up and begin anew.
    most_lives = 16
    # Between two rounds, seconds.
    pause = 0.01

    def begin(self):
        self.sent = 0
        self.name, self.lives = self.process, 0
        self.begin_session()

    def begin_session(self):
        self.lives += 1
        assert self.lives <= self.most_lives, "the client gives up more often than it is disturbed"
        self.process = f"{self.name}.{self.lives}"
        # One that has given up sends nothing any more; what it was not answered stays unknown.
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.broker.bootstrap, "linger.ms": 1, **patience(self.broker.bootstrap), **QUIET,
             **self.configuration})

    def starts_anew_after(self, error):
        # A kill makes librdkafka give up now and then: it aborts a transaction whose beginning the kill took, or sends
        # records that may be in the log again in batches of another size. Kafka refuses both, too.
        if not error.fatal() and error.code() not in (KafkaError._FATAL, KafkaError._STATE):
            return False
        self.begin_session()
        return True

    def send(self, **fields):
        for _ in range(self.chance.randint(1, 6)):
            partition = self.chance.randrange(PARTITIONS)
            value = f"{self.process}:{self.sent}"
            self.sent += 1
            number = self.recorder.ask(
                "send", self.process, value=value, **history.place(self.topic, partition), **fields)
            self.producer.produce(self.topic, value, partition=partition, on_delivery=self.delivery(number))

    def delivery(self, number):
        def delivered(error, message):
            if not error:
                self.recorder.answered(number, "acknowledged", offset=message.offset())
            elif error.code() == KafkaError._MSG_TIMED_OUT:
                self.problem = f"{self.process}: {error}"
            else:
                # Its transaction was aborted before it was delivered, or the client has given up.
                self.recorder.answered(number, "unknown")
        return delivered

    def once(self):
        self.send()
        self.producer.poll(0)
        time.sleep(self.pause)

    def end(self):
        assert self.producer.flush(30) == 0


class Stuck(Exception):
    """The client goes on trying and gets nowhere."""


class TransactionalProducer(Producer):
    # librdkafka may hold on to a coordinator that is gone (its issues 5456 and 5511); whoever starts anew finds it.
    most_seconds = 25

    transactions = iter(range(1, 1_000_000))

    def begin(self):
        self.configuration = {"transactional.id": self.process}
        self.outcomes = collections.Counter()
        self.failures = 0
        super().begin()

    def begin_session(self):
        super().begin_session()
        self.retried(self.producer.init_transactions)

    def once(self):
        transaction = next(self.transactions)
        end = None
        try:
            self.producer.begin_transaction()
            for _ in range(self.chance.randint(1, 3)):
                self.send(transaction=transaction)
                self.producer.poll(0)
                time.sleep(self.chance.uniform(0, 0.02))
            if self.chance.random() < 0.5:
                # Else an abort finds much that was never sent, and a commit sends it first.
                self.producer.flush(30)
            is_commit = self.chance.random() < 0.6
            outcome = "committed" if is_commit else "aborted"
            end = self.recorder.ask("transaction-end", self.process, transaction=transaction)
            self.retried(self.producer.commit_transaction if is_commit else self.producer.abort_transaction)
        except confluent_kafka.KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            # So librdkafka wants it when a request failed and the one behind it did not (KIP-360), as with Kafka.
            self.failures += 1
            is_asked = end is not None
            end = end if is_asked else self.recorder.ask("transaction-end", self.process, transaction=transaction)
            self.retried(self.producer.abort_transaction)
            outcome = "unknown" if is_asked else "aborted"
        self.recorder.answered(end, outcome)
        self.outcomes[outcome] += 1

    def retried(self, call):
        end = time.monotonic() + self.most_seconds
        while True:
            try:
                return call(10)
            except confluent_kafka.KafkaException as error:
                if not error.args[0].retriable():
                    raise
                if time.monotonic() > end:
                    raise Stuck from error


def log_options(name):
    """With MARTLET_CLIENT_LOGS librdkafka tells all that a member of a group does, on the standard error output."""
    if not os.environ.get("MARTLET_CLIENT_LOGS"):
        return QUIET
    return {"debug": "cgrp,protocol", "log_level": 7, "client.id": name}


class GroupMember(Client):
    """Reads at read_committed as a member of the group, commits now and then, and leaves and comes again now and
    then under another name."""

    group = None

    def begin(self):
        self.lives = 0
        self.name = self.process
        self.seen = 0
        self.join_group()

    def options(self):
        return {"session.timeout.ms": 3000, "heartbeat.interval.ms": 200}

    def join_group(self):
        self.lives += 1
        self.process = f"{self.name}.{self.lives}"
        self.position = {}
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.broker.bootstrap, "group.id": self.group, "auto.offset.reset": "earliest",
             "enable.auto.commit": False, "isolation.level": "read_committed", "fetch.wait.max.ms": 100,
             **self.options(), **patience(self.broker.bootstrap), **log_options(self.process)})
        self.consumer.subscribe([self.topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked)
        self.leaves_at = time.monotonic() + self.chance.uniform(3, 8)

    def assigned(self, _, partitions):
        self.rebalanced("assigned", partitions)

    def revoked(self, _, partitions):
        self.rebalanced("revoked", partitions)
        self.position = {}

    def rebalanced(self, kind, partitions):
        self.recorder.saw(
            kind, self.process, partitions=[history.place(p.topic, p.partition) for p in partitions])

    def once(self):
        since = time.monotonic_ns()
        message = self.consumer.poll(0.1)
        if message is not None and not message.error():
            where = history.place(self.topic, message.partition())
            self.recorder.saw("poll", self.process, since, isolation="read_committed", records=[
                {**where, "offset": message.offset(), "value": message.value().decode()}])
            self.position[message.partition()] = message.offset() + 1
            self.seen += 1
        if self.position and self.chance.random() < 0.05:
            self.commit()
        if time.monotonic() > self.leaves_at:
            self.consumer.close()
            self.join_group()

    def commit(self):
        offsets = dict(self.position)
        numbers = [self.recorder.ask("offset-commit", self.process, group=self.group, offset=offset,
                                     **history.place(self.topic, partition)) for partition, offset in offsets.items()]
        try:
            places = [confluent_kafka.TopicPartition(self.topic, p, offset) for p, offset in offsets.items()]
            results = self.consumer.commit(offsets=places, asynchronous=False)
        except confluent_kafka.KafkaException:
            return  # A rebalance or a dead broker: unknown.
        for number, result in zip(numbers, sorted(results, key=lambda r: list(offsets).index(r.partition))):
            if result.error is None:
                self.recorder.answered(number, "acknowledged")

    def end(self):
        self.consumer.close()


def final_read(broker, topic):
    found = []
    for partition in range(PARTITIONS):
        records = [{"offset": offset, "value": value}
                   for offset, _, value in read_to_end("confluent", broker.bootstrap, topic, partition)]
        found.append({"type": "final-read", "process": "final", "records": records,
                      **history.place(topic, partition)})
    return found


def plants(found):
    """The history with one thing changed, and what the checker must call it."""

    def changed(change):
        events = copy.deepcopy(found)
        reads = [event for event in events if event["type"] == "final-read"]
        change(events, reads)
        return events

    aborted = {event["transaction"] for event in found
               if event["type"] == "transaction-end" and event["outcome"] == "aborted"}
    # One that was in the log already when it was sent again is acknowledged without its offset.
    acknowledged = {(event["partition"], event["offset"]) for event in found if event["type"] == "send"
                    and event["outcome"] == "acknowledged" and "transaction" not in event and "offset" in event}

    def lose(_, reads):
        read = next(read for read in reads
                    if any((read["partition"], r["offset"]) in acknowledged for r in read["records"]))
        read["records"] = [r for r in read["records"] if (read["partition"], r["offset"]) not in acknowledged]

    def show_aborted(events, reads):
        send = next(e for e in events if e["type"] == "send" and e["outcome"] == "acknowledged"
                    and e.get("transaction") in aborted and "offset" in e)
        read = next(read for read in reads if read["partition"] == send["partition"])
        read["records"] = sorted(read["records"] + [{"offset": send["offset"], "value": send["value"]}],
                                 key=lambda record: record["offset"])

    def double(_, reads):
        read = next(read for read in reads if read["records"])
        last = read["records"][-1]["offset"]
        read["records"].append({"offset": last + 10, "value": read["records"][0]["value"]})

    def skip(events, _):
        polls = [event for event in events if event["type"] == "poll"]
        event = next(event for event in polls if is_inside(events, event))
        events.remove(event)

    return [("lost-write", changed(lose)), ("aborted-read", changed(show_aborted)), ("duplicate", changed(double)),
            ("skipped-poll", changed(skip))]


def is_inside(events, poll):
    """Whether the consumer read from the same partition right before and after, without a rebalance."""
    own = [event for event in events if event["process"] == poll["process"]]
    near = [event for event in own[:own.index(poll)] if event["type"] in ("poll", "assigned", "revoked", "position")
            and (event["type"] != "poll" or event["records"][0]["partition"] == poll["records"][0]["partition"])]
    after = [event for event in own[own.index(poll) + 1:] if event["type"] in ("poll", "assigned", "revoked")
             and (event["type"] != "poll" or event["records"][0]["partition"] == poll["records"][0]["partition"])]
    return bool(near and after) and near[-1]["type"] == "poll" and after[0]["type"] == "poll"
