"""What users of a cluster meet with the Swift client: leaders that move, topics that go, brokers that come late, replicas
nearby."""

import os
import subprocess
import time

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from harness import unique, wait_until
from history_clients import PARTITIONS
from swift_client import SwiftProcess, command
from test_swift_histories import SETTINGS, judge, make_load
from test_swift_groups import SwiftMember


def test_leaders_move_under_swift_clients(make_cluster, tmp_path):
    """Partitions are given other replicas and other leaders by the Swift admin client: nobody is told of an error, and
    nothing is lost or doubled."""
    cluster = make_cluster(4)
    topic = unique("moving")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, replica_assignment=[[1, 2, 3]] * PARTITIONS)])[topic].result(20)
    cluster.wait_until_healthy()
    load, groups = make_load(tmp_path, cluster.bootstrap, topic, members=1)
    durations = []
    try:
        load.wait_for_progress()
        for replicas in ([2, 3, 1], [3, 1, 2], [4, 2, 3], [1, 2, 3]):
            since = time.monotonic()
            moves = [subprocess.Popen(
                command("move", cluster.bootstrap, topic=topic, partition=partition,
                        replicas=",".join(map(str, replicas))), stderr=subprocess.PIPE, text=True)
                for partition in range(PARTITIONS)]
            for move in moves:
                _, errors = move.communicate(timeout=40)
                assert move.returncode == 0, errors
            assert [p.leader for p in cluster.metadata().topics[topic]] == [replicas[0]] * PARTITIONS
            load.wait_for_progress(10)
            durations.append(time.monotonic() - since)
        load.end_writers()
        found = judge(cluster, load, groups, topic, tmp_path)
    finally:
        load.kill()
    refusals = [client["refusal"] for client in load.clients.values() if "refusal" in client]
    assert refusals == [] and load.total("refused") == 0, refusals
    print(f"{load.total('sent')} values, {load.total('seen')} read, {len(found)} events; moved and got on within "
          f"{[round(d, 1) for d in durations]} s")


def requests(broker, api=None):
    return sum(value for (name, labels), value in broker.metrics().items()
               if name == "martlet_requests_total" and (api is None or ("api", api) in labels))


def produce(bootstrap, topic, values, pause=0):
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value, partition=0)
        producer.poll(0)
        time.sleep(pause)
    assert producer.flush(20) == 0


@pytest.mark.parametrize("protocol", ["range", "cooperative-sticky", "consumer"])
def test_a_topic_is_deleted_under_a_group(make_broker, make_topic, tmp_path, protocol):
    """The member goes on with its other topic, without a storm of requests."""
    broker = make_broker(SETTINGS)
    going, staying = make_topic(broker, 3), make_topic(broker, 3)
    member = SwiftMember(tmp_path, broker.bootstrap, [going, staying], unique("group"), protocol)
    try:
        produce(broker.bootstrap, going, ["a"])
        produce(broker.bootstrap, staying, ["b"])
        wait_until(lambda: sorted(member.values) == ["a", "b"], 20, f"both records: {member.problem}")
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics([going])[going].result(20)
        produce(broker.bootstrap, staying, ["c"])
        wait_until(lambda: "c" in member.values, 5, f"a record of the other topic: {member.problem}")

        def owned():
            return {place["topic"] for place in
                    [line["owned"] for line in list(member.process.lines) if "owned" in line][-1]}

        wait_until(lambda: owned() == {staying}, 10, f"the end of its partitions: {member.problem}")
        before = requests(broker)
        time.sleep(2)
        rate = (requests(broker) - before) / 2
        produce(broker.bootstrap, staying, ["d"])
        wait_until(lambda: "d" in member.values, 5, "a record of the other topic")
        member.leave()
    finally:
        member.kill()
    print(f"{rate:.0f} requests a second after it; told {member.problem}")
    assert rate < 60


def test_a_topic_is_deleted_under_a_reader(make_broker, make_topic, tmp_path):
    """One that is assigned its partitions by hand is told what has happened, without a storm of requests before."""
    broker = make_broker()
    topic = make_topic(broker, 2)
    produce(broker.bootstrap, topic, ["a"])
    reader = SwiftProcess(tmp_path, "read", broker.bootstrap, topic=topic, count=5)
    try:
        wait_until(lambda: reader.lines, 20, "a first record")
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics([topic])[topic].result(20)
        before, since = requests(broker), time.monotonic()
        assert reader.process.wait(15) == 1
        rate = (requests(broker) - before) / (time.monotonic() - since)
        print(f"{rate:.0f} requests a second; {reader.errors.read_text().strip()}")
        assert topic in reader.errors.read_text() and rate < 60
    finally:
        reader.kill()


def test_a_broker_comes_later_than_its_clients(make_broker, make_topic, tmp_path):
    """Clients that are started while there is no broker wait for it, idly, and get on soon after it has come."""
    broker = make_broker(SETTINGS)
    topic = make_topic(broker, PARTITIONS)
    broker.stop()
    load, groups = make_load(tmp_path, broker.bootstrap, topic, members=1)
    try:
        time.sleep(3)
        load.check()
        used = sum(map(int, open(f"/proc/{load.process.pid}/stat").read().split()[13:15])) / os.sysconf("SC_CLK_TCK")
        broker.start()
        since = time.monotonic()
        load.wait_for_progress(15)
        print(f"got on {time.monotonic() - since:.1f} s after the broker was there; {used:.2f} s of processor before")
        assert used < 1.5
        load.end_writers()
        judge(broker, load, groups, topic, tmp_path)
    finally:
        load.kill()


def test_a_reader_reads_from_the_replica_nearby(make_cluster, tmp_path):
    """With a client.rack the records come from that rack's replica (KIP-392), and all of them."""
    cluster = make_cluster(3, {
        "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    }, racks=["north", "south", "west"])
    topic = unique("near")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(topic, 1, replica_assignment=[[1, 2, 3]])])[topic].result(20)
    cluster.wait_until_healthy()
    values = [str(number) for number in range(100)]
    for rack, near in (("south", 2), ("west", 3)):
        before = {node.id: requests(node, "fetch") for node in cluster.nodes}
        reader = SwiftProcess(tmp_path, "read", cluster.bootstrap, topic=topic, rack=rack, count=100)
        try:
            if rack == "south":
                produce(cluster.bootstrap, topic, values, pause=0.02)
            reader.ends(20)
        finally:
            reader.kill()
        assert [line["offset"] for line in reader.lines] == list(range(100))
        # Nodes 2 and 3 lead nothing, so that nobody else fetches from them.
        told = {node.id: requests(node, "fetch") - before[node.id] for node in cluster.nodes}
        assert told[near] > 0 and told[5 - near] == 0, told
        if rack == "south":
            assert told[near] >= 20, told
