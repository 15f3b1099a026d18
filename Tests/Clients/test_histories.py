"""Kills under a mixed load, judged by what all clients were told: check-history on their history."""

import collections
import copy
import json
import random
import threading
import time

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

import history
from harness import unique, wait_until
from transactional import PATIENCE, QUIET, committed_offsets, read_to_end

PARTITIONS = 3
KILLS = 8

SETTINGS = {"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4",
            "group.min.session.timeout.ms": "1000"}


class Client(threading.Thread):
    """Does something again and again until told to stop, and records it."""

    def __init__(self, broker, topic, recorder, name, seed):
        super().__init__(daemon=True)
        self.broker, self.topic, self.recorder, self.process = broker, topic, recorder, name
        self.chance = random.Random(seed)
        self.stopping = threading.Event()
        self.problem = None
        self.rounds = 0
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
                self.rounds += 1
            self.end()
        except Exception as error:
            self.problem = f"{self.process}: {error!r}"

    def starts_anew_after(self, error):
        return False

    def finish(self):
        self.stopping.set()
        self.join(60)
        assert not self.is_alive(), f"{self.process} does not end"
        assert self.problem is None, self.problem


class Producer(Client):
    """Sends a few values to random partitions; with a transactional id, in transactions of random outcome."""

    configuration = {"enable.idempotence": True, "message.timeout.ms": 60_000}

    def begin(self):
        self.sent = 0
        self.name, self.lives = self.process, 0
        self.begin_session()

    def begin_session(self):
        self.lives += 1
        assert self.lives <= 2 * KILLS, "the client gives up more often than it is disturbed"
        self.process = f"{self.name}.{self.lives}"
        # One that has given up sends nothing any more; what it was not answered stays unknown.
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.broker.bootstrap, "linger.ms": 1, **PATIENCE, **QUIET, **self.configuration})

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
        time.sleep(0.01)

    def end(self):
        assert self.producer.flush(30) == 0


class TransactionalProducer(Producer):
    transactions = iter(range(1, 1_000_000))

    def begin(self):
        self.configuration = {"transactional.id": self.process}
        self.outcomes = collections.Counter()
        super().begin()

    def begin_session(self):
        super().begin_session()
        self.retried(self.producer.init_transactions)

    def once(self):
        transaction = next(self.transactions)
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
        self.recorder.answered(end, outcome)
        self.outcomes[outcome] += 1

    def retried(self, call):
        while True:
            try:
                return call(10)
            except confluent_kafka.KafkaException as error:
                if not error.args[0].retriable():
                    raise


class GroupMember(Client):
    """Reads at read_committed as a member of the group, commits now and then, and leaves and comes again now and
    then under another name."""

    group = None

    def begin(self):
        self.lives = 0
        self.name = self.process
        self.seen = 0
        self.join_group()

    def join_group(self):
        self.lives += 1
        self.process = f"{self.name}.{self.lives}"
        self.position = {}
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.broker.bootstrap, "group.id": self.group, "auto.offset.reset": "earliest",
             "enable.auto.commit": False, "isolation.level": "read_committed", "session.timeout.ms": 3000,
             "heartbeat.interval.ms": 200, "fetch.wait.max.ms": 100, **PATIENCE, **QUIET})
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


@pytest.mark.timeout(120)
def test_a_history_over_kills_has_no_anomaly(make_broker, make_topic, tmp_path):
    """Two idempotent and three transactional producers, transactions of random outcome, three read_committed members
    of a group that come and go, and eight kills of the broker: nothing that any of them was told contradicts what
    others were told or what is read in the end."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    broker = make_broker(SETTINGS)
    topic = make_topic(broker, PARTITIONS, segment_bytes=100_000)
    path = tmp_path / "clients.jsonl"
    recorder = history.Recorder(path)
    GroupMember.group = unique("group")
    kinds = [Producer] * 2 + [TransactionalProducer] * 3 + [GroupMember] * 3
    clients = [kind(broker, topic, recorder, f"{kind.__name__}-{index}", chance.random())
               for index, kind in enumerate(kinds)]
    transactional = [client for client in clients if isinstance(client, TransactionalProducer)]
    members = [client for client in clients if isinstance(client, GroupMember)]
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 2))
            broker.kill_and_start()
            before = [client.rounds for client in transactional]
            wait_until(lambda: all(c.rounds > b for c, b in zip(transactional, before)), 30,
                       f"progress: {[c.problem for c in clients]}")
        seen = sum(member.seen for member in members)
        wait_until(lambda: sum(member.seen for member in members) > seen, 30, "readers that read again")
    finally:
        for client in clients:
            client.finish()
    recorder.close()

    found = history.events([path]) + final_read(broker, topic)
    committed = committed_offsets(broker, GroupMember.group, topic, PARTITIONS)
    found += [{"type": "offset-fetch", "process": "final", "group": GroupMember.group, "final": True,
               **history.place(topic, partition), **({} if offset is None else {"offset": offset})}
              for partition, offset in committed.items()]
    anomalies = history.check(tmp_path, found)
    assert anomalies == [], f"seed {seed}: {json.dumps(anomalies[:5], indent=1)}"

    outcomes = sum((client.outcomes for client in transactional), collections.Counter())
    sent = sum(client.sent for client in clients if isinstance(client, Producer))
    print(f"{sent} values, transactions {dict(outcomes)}, {sum(member.seen for member in members)} read, "
          f"{sum(member.lives for member in members)} lives of members, {len(found)} events")
    assert min(outcomes["committed"], outcomes["aborted"]) > 20 and sum(member.seen for member in members) > 100
    for kind, planted in plants(found):
        kinds = {anomaly["kind"] for anomaly in history.check(tmp_path, planted)}
        assert kind in kinds, f"a planted {kind} was not noticed: {kinds}"


def plants(found):
    """The history with one thing changed, and what the checker must call it."""

    def changed(change):
        events = copy.deepcopy(found)
        reads = [event for event in events if event["type"] == "final-read"]
        change(events, reads)
        return events

    aborted = {event["transaction"] for event in found
               if event["type"] == "transaction-end" and event["outcome"] == "aborted"}
    acknowledged = {(event["partition"], event["offset"]) for event in found
                    if event["type"] == "send" and event["outcome"] == "acknowledged" and "transaction" not in event}

    def lose(_, reads):
        read = next(read for read in reads
                    if any((read["partition"], r["offset"]) in acknowledged for r in read["records"]))
        read["records"] = [r for r in read["records"] if (read["partition"], r["offset"]) not in acknowledged]

    def show_aborted(events, reads):
        send = next(e for e in events if e["type"] == "send" and e["outcome"] == "acknowledged"
                    and e.get("transaction") in aborted)
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
