"""Partitions that move between nodes, and leaders that change, while records flow."""

import concurrent.futures
import random
import threading
import time

import confluent_kafka
import kafka
import pytest
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType)

from clients import Message, commit_offsets, produce
from cluster_load import Load
from harness import unique, wait_until
from test_cluster_faults import compare_replicas
from transactional import ConfluentTransactions, read_to_end

PARTITIONS = 4


def make_topic(cluster):
    name = unique("moving")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(name, PARTITIONS, replica_assignment=[[1, 2, 3]] * PARTITIONS)])[name].result(20)
    cluster.wait_until_healthy()
    return name


def test_replicas_move_under_load(make_cluster):
    """All replicas move, again and again, and in the end to where they began; nothing is lost or reordered."""
    cluster = make_cluster(4)
    topic = make_topic(cluster)
    load = Load(cluster, topic, PARTITIONS)
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    chance = random.Random(7)
    moves = [[2, 3, 4], [4, 1, 3], [3, 1, 2]]
    try:
        for round in range(4):
            targets = {kafka.TopicPartition(topic, p): moves[(p + round) % 3] if round < 3 else [1, 2, 3]
                       for p in range(PARTITIONS)}
            assert set(python.alter_partition_reassignments(targets).values()) == {None}
            if round == 1:
                time.sleep(chance.uniform(0, 0.05))
                # One is cancelled, or is done already.
                first = next(iter(targets))
                cancelled = python.alter_partition_reassignments({first: None})[first]
                assert cancelled is None or cancelled.errno == 85, cancelled  # NO_REASSIGNMENT_IN_PROGRESS
                targets.pop(first)
            wait_until(lambda: python.list_partition_reassignments() == {}, 30, "the moves")
            cluster.wait_until_healthy()
            for place, target in targets.items():
                assert cluster.partition(topic, place.partition).replicas == target
    finally:
        python.close()
    load.finish()
    print(f"{load.sent} records, longest pause {load.longest_pause(load.acknowledged[0]):.2f} s")
    for node in cluster.nodes:
        node.stop()
    assert compare_replicas(cluster) > 0
    # Nobody keeps what was moved away.
    kept = {node.id: sum(1 for p in range(PARTITIONS) if (node.data / f"{topic}-{p}").exists())
            for node in cluster.nodes}
    assert kept == {1: PARTITIONS, 2: PARTITIONS, 3: PARTITIONS, 4: 0}


@pytest.mark.parametrize("side", ["leader", "follower"])
def test_a_throttled_move_takes_its_time(make_cluster, side):
    """What kafka-reassign-partitions --throttle sets holds a move back on either side (KIP-73), and nothing else: not the
    replication of other topics, and not the other replicas of this one. Lifting it lets the move end."""
    rate, size = 2_000_000, 16_000_000
    cluster = make_cluster()
    busy = make_topic(cluster)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    topic = unique("heavy")
    admin.create_topics([NewTopic(topic, 1, replica_assignment=[[1, 2]])])[topic].result(20)
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 20})
    value = random.Random(3).randbytes(100_000)
    for number in range(size // len(value)):
        producer.produce(topic, value, key=b"%d" % number)
        producer.poll(0)
    assert producer.flush(30) == 0

    def configure(kind, name, **settings):
        change = [ConfigEntry(key.replace("_", "."), str(setting), incremental_operation=AlterConfigOpType.SET)
                  for key, setting in settings.items()]
        resource = ConfigResource(kind, name, incremental_configs=change)
        admin.incremental_alter_configs([resource])[resource].result(10)

    def limit(bytes_a_second):
        for node in cluster.nodes:
            configure(ResourceType.BROKER, str(node.id), **{f"{side}_replication_throttled_rate": bytes_a_second})

    limit(rate)
    # The leader's side is told where the partition is, the follower's where it goes.
    configure(ResourceType.TOPIC, topic, **{
        f"{side}_replication_throttled_replicas": "0:1,0:2" if side == "leader" else "0:3"})
    load = Load(cluster, busy, PARTITIONS)
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    try:
        began = time.monotonic()
        assert set(python.alter_partition_reassignments({kafka.TopicPartition(topic, 0): [1, 3]}).values()) == {None}
        # At this rate it takes 8 s.
        while time.monotonic() - began < 4:
            assert python.list_partition_reassignments() != {}, f"moved after {time.monotonic() - began:.1f} s"
            time.sleep(0.2)
        lag = cluster.status()["brokers"][2]["lag"]
        assert 0 < lag < size // len(value), "what it knows that it lacks"
        # It goes on meanwhile: what the new replica has is near to what the rate allows.
        copied = sum(path.stat().st_blocks * 512 for path in (cluster.node(3).data / f"{topic}-0").glob("*.log"))
        seconds = time.monotonic() - began
        assert rate * 2 <= copied <= rate * (seconds + 2), (copied, seconds)
        producer.produce(topic, b"not held back: its other replica is in sync")
        assert producer.flush(3) == 0
        limit(1_000_000_000)
        wait_until(lambda: python.list_partition_reassignments() == {}, 20, "the move")
        assert cluster.partition(topic).replicas == [1, 3]
        wait_until(lambda: cluster.status()["brokers"][2]["lag"] == 0, 20, "no lag")
    finally:
        python.close()
    load.finish()
    pause = load.longest_pause(load.acknowledged[0])
    print(f"{copied} bytes in {seconds:.1f} s, {load.sent} other records, longest pause {pause:.2f} s")
    assert pause < 3


def test_a_rolling_restart_fails_nothing(make_cluster):
    """All nodes are restarted, one after the other, twice: no record, no transaction and no read fails."""
    cluster = make_cluster()
    topic, side = make_topic(cluster), make_topic(cluster)
    load = Load(cluster, topic, PARTITIONS)
    began = time.monotonic()
    ended = []
    stopping = threading.Event()

    def transactions():
        producer = ConfluentTransactions(cluster.bootstrap, unique("rolling"))
        while not stopping.is_set():
            producer.begin()
            for partition in range(PARTITIONS):
                producer.send(side, partition, str(len(ended)))
            producer.commit()
            ended.append(time.monotonic())
        producer.close()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(transactions)
        wait_until(lambda: ended, 20, "a transaction")
        for _ in range(2):
            for node in cluster.nodes:
                node.restart()
                cluster.wait_until_healthy()
        wait_until(lambda: ended[-1] > time.monotonic() - 0.5, 20, "a transaction after all that")
        stopping.set()
        work.result(30)
    load.finish()
    for partition in range(PARTITIONS):
        found = [value for _, _, value in read_to_end("confluent", cluster.bootstrap, side, partition)]
        assert found == [str(number) for number in range(len(ended))]
    pause = max(b - a for a, b in zip(ended, ended[1:]))
    print(f"{load.sent} records, longest pause {load.longest_pause(began):.2f} s; "
          f"{len(ended)} transactions, longest {pause:.2f} s")
    assert load.longest_pause(began) < 3


def test_leaders_change_under_load(make_cluster):
    """Leaders are moved by another order of the replicas and an election, without an error at the producer."""
    cluster = make_cluster()
    topic = make_topic(cluster)
    load = Load(cluster, topic, PARTITIONS)
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    began = time.monotonic()
    try:
        for round in range(10):
            order = [[2, 3, 1], [3, 1, 2], [1, 2, 3]][round % 3]
            places = [kafka.TopicPartition(topic, p) for p in range(PARTITIONS)]
            assert set(python.alter_partition_reassignments({p: order for p in places}).values()) == {None}
            result = admin.elect_leaders(
                ElectionType.PREFERRED, [TopicPartition(topic, p) for p in range(PARTITIONS)]).result(10)
            assert all(error is None for error in result.values()), result
            wait_until(lambda: all(p.leader == order[0] for p in cluster.metadata().topics[topic]), 5, "new leaders")
            time.sleep(0.2)
    finally:
        python.close()
    load.finish()
    print(f"{load.sent} records over 10 elections, longest pause {load.longest_pause(began):.2f} s")
    assert load.longest_pause(began) < 2


def test_who_asks_the_coordinator_of_before_finds_the_committed_offset(make_cluster):
    """librdkafka asks a coordinator that is none any more, and only once if nothing but the group's error comes (its issue
    5586): the partition would never be read."""
    cluster = make_cluster(settings={"offsets.topic.num.partitions": "1"})
    topic, group = make_topic(cluster), unique("group")
    produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % number, [], 1) for number in range(3)])
    consumer = confluent_kafka.Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": group,
                                         "enable.auto.commit": False})
    commit_offsets(consumer, [TopicPartition(topic, 0, 1)])
    place = kafka.TopicPartition("__consumer_offsets", 0)
    before = cluster.partition(place.topic).leader
    others = [node.id for node in cluster.nodes if node.id != before]
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    try:
        # The coordinator's connection stays.
        assert set(python.alter_partition_reassignments({place: [*others, before]}).values()) == {None}
        wait_until(lambda: python.list_partition_reassignments() == {}, 30, "the move")
        python.elect_leaders(0, {place.topic: [place.partition]}, raise_errors=False)
        wait_until(lambda: cluster.partition(place.topic).leader == others[0], 20, "another coordinator")
    finally:
        python.close()
    consumer.assign([TopicPartition(topic, 0)])

    def next_record():
        """What is not well now is told in between."""
        message = consumer.poll(0.5)
        return message if message and not message.error() else None

    assert wait_until(next_record, 10, "a record").value() == b"1"
    consumer.close()
