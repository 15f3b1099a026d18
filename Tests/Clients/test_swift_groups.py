"""Groups that Swift clients share with others."""

import threading

import confluent_kafka
import kafka
import pytest
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from harness import unique, wait_until
from swift_client import SwiftProcess
from transactional import QUIET, committed_offsets, patience

PARTITIONS = 7
SETTINGS = {"offsets.topic.num.partitions": "1", "group.min.session.timeout.ms": "1000",
            "group.consumer.heartbeat.interval.ms": "100"}
ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor,
             "sticky": StickyPartitionAssignor}
# What both sides of a group can speak.
TOGETHER = [("confluent", "range"), ("confluent", "roundrobin"), ("confluent", "cooperative-sticky"),
            ("confluent", "consumer"), ("kafka-python", "range"), ("kafka-python", "roundrobin"),
            ("kafka-python", "sticky")]


class Member(threading.Thread):
    """Of another client, in a thread. Commits what it was given before it takes more."""

    def __init__(self, broker, topic, group, protocol):
        super().__init__(daemon=True)
        self.owned, self.values, self.problem = set(), [], None
        self.stopping = threading.Event()
        self.topic = topic
        self.join_group(broker.bootstrap, group, protocol)
        self.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.once()
            self.consumer.close()
        except Exception as error:
            self.problem = repr(error)

    def leave(self):
        self.stopping.set()
        self.join(20)
        assert not self.is_alive() and self.problem is None, self.problem

    kill = leave


class ConfluentMember(Member):
    def join_group(self, bootstrap, group, protocol):
        options = {"group.protocol": "consumer"} if protocol == "consumer" else {
            "partition.assignment.strategy": protocol, "heartbeat.interval.ms": 100, "session.timeout.ms": 6000}
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
             "enable.auto.commit": False, "fetch.wait.max.ms": 50, **options, **patience(bootstrap), **QUIET})
        self.consumer.subscribe([self.topic])

    def once(self):
        message = self.consumer.poll(0.05)
        self.owned = {place.partition for place in self.consumer.assignment()}
        if message is not None and not message.error():
            self.values.append(message.value().decode())
            self.consumer.commit(message=message, asynchronous=False)


class KafkaPythonMember(Member):
    def join_group(self, bootstrap, group, protocol):
        self.consumer = kafka.KafkaConsumer(
            self.topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
            partition_assignment_strategy=[ASSIGNORS[protocol]], heartbeat_interval_ms=100, session_timeout_ms=6000,
            enable_auto_commit=False, fetch_max_wait_ms=50)

    def once(self):
        found = self.consumer.poll(50)
        self.owned = {place.partition for place in self.consumer.assignment()}
        for records in found.values():
            self.values += [record.value.decode() for record in records]
        if found:
            self.consumer.commit()


class SwiftMember:
    def __init__(self, folder, bootstrap, topic, group, protocol):
        self.process = SwiftProcess(folder, "member", bootstrap, topic=topic, group=group, protocol=protocol)

    @property
    def owned(self):
        assert self.process.process.poll() is None, self.process.says()
        told = [line["owned"] for line in list(self.process.lines) if "owned" in line]
        return {place["partition"] for place in told[-1]} if told else set()

    @property
    def values(self):
        return [line["value"] for line in list(self.process.lines) if "offset" in line]

    @property
    def problem(self):
        return [line for line in list(self.process.lines) if "error" in line] or None

    def leave(self):
        self.process.terminate()
        assert self.process.lines[-1] == {"closed": True}

    def kill(self):
        self.process.kill()


OTHERS = {"confluent": ConfluentMember, "kafka-python": KafkaPythonMember}


def produce(broker, topic, values):
    """One value to each partition in turn."""
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % PARTITIONS)
    assert producer.flush(20) == 0


@pytest.mark.parametrize("swift_comes_first", [True, False])
@pytest.mark.parametrize("client,protocol", TOGETHER)
def test_a_group_is_shared(make_broker, make_topic, tmp_path, client, protocol, swift_comes_first):
    """The first member has all and commits, the second one gets its half and goes on where the first has committed,
    both read what comes then, and when the first leaves the second has all and goes on where that has committed."""
    broker = make_broker(SETTINGS)
    topic, group = make_topic(broker, PARTITIONS), unique("group")
    every = set(range(PARTITIONS))

    def swift():
        return SwiftMember(tmp_path, broker.bootstrap, topic, group, protocol)

    def other():
        return OTHERS[client](broker, topic, group, protocol)

    rounds = [[f"{name}-{number}" for number in range(4 * PARTITIONS)] for name in ("first", "both", "last")]
    produce(broker, topic, rounds[0])
    members = []

    def wait(condition, what):
        try:
            wait_until(condition, 20, what)
        except AssertionError as error:
            found = [(type(m).__name__, m.owned, len(m.values), m.problem) for m in members]
            raise AssertionError(f"{error}; {found}") from None

    try:
        members.append(swift() if swift_comes_first else other())
        first = members[0]
        wait(lambda: first.owned == every, "all partitions for the first")
        wait(lambda: committed_offsets(broker, group, topic, PARTITIONS) == {p: 4 for p in every}, "commits")
        members.append(other() if swift_comes_first else swift())
        second = members[1]

        def is_shared():
            halves = [member.owned for member in members]
            return min(map(len, halves)) >= 3 and halves[0] | halves[1] == every and not halves[0] & halves[1]

        wait(is_shared, "two halves")
        produce(broker, topic, rounds[1])
        wait(lambda: len(first.values + second.values) >= 8 * PARTITIONS, "all records")
        wait(lambda: committed_offsets(broker, group, topic, PARTITIONS) == {p: 8 for p in every}, "commits")
        assert is_shared() and second.values
        first.leave()
        wait(lambda: second.owned == every, "all partitions for the second")
        produce(broker, topic, rounds[2])
        wait(lambda: len(first.values + second.values) >= 12 * PARTITIONS, "all records")
        second.leave()
    finally:
        for member in members:
            member.kill()
    assert first.problem is None and second.problem is None
    # Each once: nothing was read again that had been committed, and nothing was passed over.
    assert sorted(first.values + second.values) == sorted(sum(rounds, []))
    assert set(rounds[2]) <= set(second.values)
