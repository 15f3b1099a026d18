"""Groups: members come, die and are replaced; each partition has one owner; nothing is missed and nothing skipped."""

import asyncio
import collections
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time

import aiokafka
import confluent_kafka
import kafka
import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor as AIORangePartitionAssignor
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from clients import Message, produce
from harness import unique, wait_until


class Member:
    """A process of group_member.py and what it said so far."""

    def __init__(self, broker, group, topic, **options):
        script = pathlib.Path(__file__).with_name("group_member.py")
        self.events = []
        self.process = subprocess.Popen(
            [sys.executable, str(script), broker.bootstrap, topic, json.dumps({"group.id": group, **options})],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    @property
    def assignment(self):
        owned = set()
        for event in list(self.events):
            owned |= {tuple(p) for p in event.get("assigned", [])}
            owned -= {tuple(p) for p in event.get("revoked", [])}
        return owned

    @property
    def messages(self):
        return [event for event in list(self.events) if "value" in event]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(5)

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.reader.join(5)


@pytest.fixture
def join(broker):
    members = []

    def start(group, topic, **options):
        member = Member(broker, group, topic, **options)
        members.append(member)
        return member

    yield start
    for member in members:
        if member.process.poll() is None:
            member.kill()


def all_partitions(topic, count):
    return {(topic, partition) for partition in range(count)}


def is_shared(members, everything):
    """Whether the members own all partitions, each exactly one of them."""
    owned = [place for member in members for place in member.assignment]
    return len(owned) == len(everything) and set(owned) == everything


def numbers(topic, partitions, count, start=0):
    return [(i % partitions, Message(b"k", b"%d" % i, [], 1)) for i in range(start, start + count)]


def send(broker, topic, partitions, count, start=0):
    for partition in range(partitions):
        produce("confluent", broker.bootstrap, topic,
                [m for p, m in numbers(topic, partitions, count, start) if p == partition], partition=partition)


def assert_all_seen_in_order(members, partitions, count):
    """Every number came, and while a member had a partition it got its offsets one after the other."""
    seen = collections.defaultdict(set)
    for member in members:
        expected = {}
        for event in member.events:
            for _, partition in event.get("assigned", []):
                expected.pop(partition, None)
            if "value" in event:
                partition, offset = event["partition"], event["offset"]
                assert offset == expected.get(partition, offset), f"partition {partition} skipped to {offset}"
                expected[partition] = offset + 1
                seen[partition].add(int(event["value"]))
    for partition in range(partitions):
        assert seen[partition] == set(range(partition, count, partitions)), f"partition {partition} missed some"


PROTOCOLS = {
    "range": {"partition.assignment.strategy": "range"},
    "roundrobin": {"partition.assignment.strategy": "roundrobin"},
    "cooperative-sticky": {"partition.assignment.strategy": "cooperative-sticky"},
    "consumer-uniform": {"group.protocol": "consumer", "group.remote.assignor": "uniform"},
    "consumer-range": {"group.protocol": "consumer", "group.remote.assignor": "range"},
}


@pytest.fixture
def broker(make_broker):
    """Sessions of consumer groups are the broker's to choose; short, for members that are killed."""
    return make_broker({
        "group.consumer.session.timeout.ms": "3000", "group.consumer.heartbeat.interval.ms": "300",
        "group.min.session.timeout.ms": "1000", "offsets.topic.num.partitions": "4"})


def options_of(protocol):
    options = dict(PROTOCOLS[protocol])
    if options.get("group.protocol") != "consumer":
        options |= {"session.timeout.ms": 3000, "heartbeat.interval.ms": 300}
    return options


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_come_die_and_leave(broker, make_topic, join, protocol):
    """Three members share six partitions; one is killed without a word and its partitions go to the others after its
    session; one leaves and the last takes all at once. Nothing is missed or skipped. Catches a dead member that keeps
    its partitions, a partition with two owners, and offsets committed beyond what was read."""
    topic = make_topic(broker, partitions=6)
    group = unique("group")
    options = options_of(protocol)
    everything = all_partitions(topic, 6)
    send(broker, topic, 6, 120)
    first = join(group, topic, **options)
    wait_until(lambda: is_shared([first], everything), 30, "the first member's assignment")
    second, third = join(group, topic, **options), join(group, topic, **options)
    members = [first, second, third]
    wait_until(lambda: is_shared(members, everything) and all(len(m.assignment) == 2 for m in members), 40,
               "two partitions each")
    send(broker, topic, 6, 120, 120)
    second.kill()
    left = [first, third]
    wait_until(lambda: is_shared(left, everything), 40, "the dead member's partitions with the others")
    send(broker, topic, 6, 60, 240)
    started = time.monotonic()
    first.leave()
    wait_until(lambda: is_shared([third], everything), 30, "everything with the last member")
    assert time.monotonic() - started < 10, "a member that says goodbye needs no session timeout"
    wait_until(lambda: len({m["value"] for member in members for m in member.messages}) == 300, 30, "all messages")
    third.leave()
    assert_all_seen_in_order(members, 6, 300)


@pytest.mark.parametrize("protocol", ["range", "consumer-uniform"])
def test_committed_offsets_survive_a_broker_restart(broker, make_topic, protocol):
    """What was committed is there after SIGTERM and after SIGKILL, exactly, metadata text included, and a consumer
    goes on right behind it."""
    topic = make_topic(broker, partitions=3)
    send(broker, topic, 3, 90)
    group = unique("group")
    options = {"bootstrap.servers": broker.bootstrap, "group.id": group, "enable.auto.commit": False,
               "auto.offset.reset": "earliest", **options_of(protocol)}
    consumer = confluent_kafka.Consumer(options)
    consumer.subscribe([topic])
    seen = []
    while len(seen) < 45:
        message = consumer.poll(20)
        assert message is not None and not message.error()
        seen.append((message.partition(), message.offset()))
    positions = {p.partition: p.offset for p in consumer.position([TopicPartition(topic, i) for i in range(3)])}
    positions = {partition: max(0, offset) for partition, offset in positions.items()}
    consumer.commit(
        offsets=[TopicPartition(topic, p, o, metadata=f"at {o}") for p, o in positions.items()], asynchronous=False)
    consumer.close()
    for restart in (broker.restart, broker.kill_and_start):
        restart()
        again = confluent_kafka.Consumer(options)
        committed = again.committed([TopicPartition(topic, i) for i in range(3)], timeout=20)
        assert {p.partition: p.offset for p in committed} == positions
        assert {p.metadata for p in committed} == {f"at {o}" for o in positions.values()}
        again.close()
    rest = confluent_kafka.Consumer(options)
    rest.subscribe([topic])
    remaining = []
    while len(remaining) < 45:
        message = rest.poll(20)
        assert message is not None and not message.error()
        remaining.append((message.partition(), message.offset()))
    rest.close()
    assert sorted(seen + remaining) == sorted((p, o) for p in range(3) for o in range(30))


def test_members_survive_a_broker_restart(broker, make_topic, join):
    """Members of both kinds keep consuming through a SIGKILL of the broker, without missing anything."""
    groups = {}
    for protocol in ("cooperative-sticky", "consumer-uniform"):
        topic = make_topic(broker, partitions=4)
        group = unique("group")
        members = [join(group, topic, **options_of(protocol)) for _ in range(2)]
        groups[topic] = members
    for topic, members in groups.items():
        wait_until(lambda: is_shared(members, all_partitions(topic, 4)), 30, "the assignment")
        send(broker, topic, 4, 80)
    broker.kill_and_start()
    for topic, members in groups.items():
        send(broker, topic, 4, 80, 80)
    for topic, members in groups.items():
        wait_until(lambda: len({m["value"] for member in members for m in member.messages}) == 160, 40, "all messages")
        for member in members:
            member.leave()
        assert_all_seen_in_order(members, 4, 160)


def test_static_member_comes_back_without_a_rebalance(broker, make_topic, join):
    """A member with group.instance.id that restarts within its session gets its partitions back, and the other one
    notices nothing (KIP-345)."""
    topic = make_topic(broker, partitions=4)
    group = unique("group")
    options = {"session.timeout.ms": 20_000, "heartbeat.interval.ms": 300, "partition.assignment.strategy": "range"}
    first = join(group, topic, **options, **{"group.instance.id": "one"})
    second = join(group, topic, **options, **{"group.instance.id": "two"})
    wait_until(lambda: is_shared([first, second], all_partitions(topic, 4))
               and len(first.assignment) == 2, 40, "two partitions each")
    mine, others = first.assignment, len([e for e in second.events if "assigned" in e or "revoked" in e])
    first.kill()
    again = join(group, topic, **options, **{"group.instance.id": "one"})
    wait_until(lambda: again.assignment == mine, 20, "the old assignment")
    send(broker, topic, 4, 40)
    wait_until(lambda: len(again.messages) + len(second.messages) == 40, 20, "all messages")
    assert len([e for e in second.events if "assigned" in e or "revoked" in e]) == others


def test_second_process_with_the_same_instance_id_fences_the_first(broker, make_topic, join):
    """Two processes with one group.instance.id: the older gets a fatal error instead of double work."""
    topic = make_topic(broker)
    group = unique("group")
    options = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 300, "group.instance.id": "same"}
    first = join(group, topic, **options)
    wait_until(lambda: first.assignment, 20, "the first one's assignment")
    second = join(group, topic, **options)
    wait_until(lambda: second.assignment, 20, "the second one's assignment")
    wait_until(lambda: any("fenced" in e.get("error", "").lower() for e in first.events), 20, "the fencing error")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_pattern_subscription_finds_new_topics(broker, make_topic, join, protocol):
    """A pattern matches topics that are made later; others stay out."""
    prefix = unique("pattern")
    other = make_topic(broker, name=f"other-{prefix}")
    first = make_topic(broker, name=f"{prefix}-a")
    options = {"topic.metadata.refresh.interval.ms": 500, "metadata.max.age.ms": 1000}
    member = join(unique("group"), f"^{prefix}-.*", **{"group.protocol": protocol}, **options)
    wait_until(lambda: member.assignment == {(first, 0)}, 30, "the first topic")
    second = make_topic(broker, partitions=2, name=f"{prefix}-b")
    wait_until(lambda: member.assignment == {(first, 0), (second, 0), (second, 1)}, 30, "the new topic")
    produce("confluent", broker.bootstrap, other, [Message(None, b"no", [], 1)])
    produce("confluent", broker.bootstrap, second, [Message(None, b"yes", [], 1)], partition=1)
    wait_until(lambda: [m["value"] for m in member.messages] == ["yes"], 20, "the message")


def test_a_group_of_three_different_clients(broker, make_topic):
    """confluent-kafka, kafka-python and aiokafka share one group with the range assignor, and divide the work. Catches
    subscription or assignment bytes that pass through the broker altered."""
    topic = make_topic(broker, partitions=6)
    group = unique("group")
    counts = collections.Counter()
    seen = []
    owned = {}
    stop = threading.Event()

    def run_confluent():
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": broker.bootstrap, "group.id": group, "auto.offset.reset": "earliest",
             "partition.assignment.strategy": "range", "heartbeat.interval.ms": 300, "session.timeout.ms": 10_000})
        consumer.subscribe([topic])
        while not stop.is_set():
            message = consumer.poll(0.1)
            owned["confluent"] = {p.partition for p in consumer.assignment()}
            if message is not None and not message.error():
                counts["confluent"] += 1
                seen.append(message.value())
        consumer.close()

    def run_kafka_python():
        consumer = kafka.KafkaConsumer(
            topic, bootstrap_servers=broker.bootstrap, group_id=group, auto_offset_reset="earliest",
            heartbeat_interval_ms=300, session_timeout_ms=10_000,
            partition_assignment_strategy=[RangePartitionAssignor])
        while not stop.is_set():
            for records in consumer.poll(100).values():
                counts["kafka-python"] += len(records)
                seen.extend(record.value for record in records)
            owned["kafka-python"] = {p.partition for p in consumer.assignment()}
        consumer.close()

    async def run_aiokafka():
        consumer = aiokafka.AIOKafkaConsumer(
            topic, bootstrap_servers=broker.bootstrap, group_id=group, auto_offset_reset="earliest",
            heartbeat_interval_ms=300, session_timeout_ms=10_000,
            partition_assignment_strategy=[AIORangePartitionAssignor])
        await consumer.start()
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=100)).values():
                counts["aiokafka"] += len(records)
                seen.extend(record.value for record in records)
            owned["aiokafka"] = {p.partition for p in consumer.assignment()}
        await consumer.stop()

    threads = [threading.Thread(target=run, daemon=True)
               for run in (run_confluent, run_kafka_python, lambda: asyncio.run(run_aiokafka()))]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: [len(owned.get(c, ())) for c in ("confluent", "kafka-python", "aiokafka")] == [2, 2, 2]
                   and set().union(*owned.values()) == set(range(6)), 40, "two partitions each")
        send(broker, topic, 6, 600)
        wait_until(lambda: len(seen) >= 600, 30, "all messages")
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert sorted(seen, key=int) == [b"%d" % i for i in range(600)]
    assert counts == {"confluent": 200, "kafka-python": 200, "aiokafka": 200}


@pytest.mark.parametrize("assignor", ["sticky", "roundrobin"])
def test_kafka_python_assignors(broker, make_topic, assignor):
    """kafka-python's own strategies: two consumers, then one."""
    strategy = {"sticky": StickyPartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}[assignor]
    topic = make_topic(broker, partitions=4)
    send(broker, topic, 4, 40)
    consumers = [
        kafka.KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, group_id="python", heartbeat_interval_ms=300,
                            session_timeout_ms=10_000, auto_offset_reset="earliest",
                            partition_assignment_strategy=[strategy]) for _ in range(2)]
    seen = []

    def poll(some):
        for consumer in some:
            for records in consumer.poll(50).values():
                seen.extend(record.value for record in records)

    def is_divided():
        poll(consumers)
        return [len(c.assignment()) for c in consumers] == [2, 2]

    wait_until(is_divided, 30, "two partitions each")
    consumers[0].close()

    def is_with_the_last():
        poll(consumers[1:])
        return len(consumers[1].assignment()) == 4 and len(set(seen)) == 40

    wait_until(is_with_the_last, 30, "everything with the last one")
    consumers[1].close()


def test_group_states_as_administrators_see_them(broker, make_topic, join):
    """list and describe show kind, state, members, their hosts and assignments; an empty group can be deleted, a live
    one not."""
    topic = make_topic(broker, partitions=2)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for protocol, kind in (("classic", confluent_kafka.ConsumerGroupType.CLASSIC),
                           ("consumer", confluent_kafka.ConsumerGroupType.CONSUMER)):
        group = unique(f"states-{protocol}")
        member = join(group, topic, **{"group.protocol": protocol, "client.id": "some client"})
        wait_until(lambda: is_shared([member], all_partitions(topic, 2)), 30, "the assignment")

        def listing():
            listed = {g.group_id: g for g in admin.list_consumer_groups().result(10).valid}
            return listed[group].type, listed[group].state

        wait_until(lambda: listing() == (kind, confluent_kafka.ConsumerGroupState.STABLE), 10, "the group, stable")
        description = admin.describe_consumer_groups([group])[group].result(10)
        assert description.state == confluent_kafka.ConsumerGroupState.STABLE
        (described,) = description.members
        assert described.client_id == "some client"
        assert "127.0.0.1" in described.host
        assert {(p.topic, p.partition) for p in described.assignment.topic_partitions} == member.assignment
        with pytest.raises(confluent_kafka.KafkaException) as caught:
            admin.delete_consumer_groups([group])[group].result(10)
        assert caught.value.args[0].code() == confluent_kafka.KafkaError.NON_EMPTY_GROUP
        member.leave()
        wait_until(lambda: listing()[1] == confluent_kafka.ConsumerGroupState.EMPTY, 10, "the group, empty")
        admin.delete_consumer_groups([group])[group].result(10)
        assert group not in {g.group_id for g in admin.list_consumer_groups().result(10).valid}


def test_kcat_balanced_consumer(broker, make_topic):
    """kcat -G, the old C client's classic group, reads everything and ends."""
    topic = make_topic(broker, partitions=3)
    send(broker, topic, 3, 300)
    output = subprocess.run(
        ["kcat", "-b", broker.bootstrap, "-G", unique("group"), "-q", "-X", "auto.offset.reset=earliest", "-c", "300",
         topic], capture_output=True, timeout=40, check=True).stdout
    assert sorted(output.split(), key=int) == [b"%d" % i for i in range(300)]
