"""A cluster of three nodes: what clients see of it, and what they see while one node at a time, or etcd, is away."""

import asyncio
import struct
import time

import aiokafka
import confluent_kafka
import kafka
import pytest
from confluent_kafka import ElectionType, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

import cluster as clusters
import cluster_wire
from clients import CLIENTS, Message, consume, produce
from cluster import SESSION_SECONDS
from cluster_load import Load
from harness import unique, wait_until
from transactional import ConfluentTransactions, read_to_end
from wire import Connection, batch, produce_error, produce_frame, record, try_produce


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three nodes that the tests share that harm none of them."""
    made = clusters.Cluster(tmp_path_factory.mktemp("shared"), settings={
        "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    }, racks=["north", "south", "west"]).start()
    yield made
    made.finish()


def make_topic(cluster, partitions=1, replicas=3, **configuration):
    name = unique("topic")
    config = {key.replace("_", "."): str(value) for key, value in configuration.items()}
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(name, partitions, replicas, config=config)])[name].result(20)
    cluster.wait_until_healthy()
    return name


def texts(messages):
    return [message.value.decode() for message in messages]


# What there is


def test_every_client_sees_the_replicas(cluster):
    topic = make_topic(cluster, partitions=6)
    expected = {index: (p.leader, p.replicas, sorted(p.in_sync))
                for index, p in enumerate(cluster.metadata().topics[topic])}
    assert {leader for leader, _, _ in expected.values()} == {1, 2, 3}, "the leaders are spread"
    for leader, replicas, in_sync in expected.values():
        assert replicas[0] == leader and in_sync == [1, 2, 3]

    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    listed = admin.list_topics(topic, timeout=10)
    assert {index: (p.leader, p.replicas, sorted(p.isrs)) for index, p in listed.topics[topic].partitions.items()} \
        == expected
    assert {b.id: b.port for b in listed.brokers.values()} == {node.id: node.port for node in cluster.nodes}

    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    try:
        described, = python.describe_topics([topic])
        found = {p["partition_index"]: (p["leader_id"], p["replica_nodes"], sorted(p["isr_nodes"]))
                 for p in described["partitions"]}
        assert found == expected
    finally:
        python.close()

    async def with_aiokafka():
        consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=cluster.bootstrap)
        await consumer.start()
        try:
            view = consumer._client.cluster
            return {p: view.leader_for_partition(aiokafka.TopicPartition(topic, p)) for p in expected}
        finally:
            await consumer.stop()

    assert asyncio.run(with_aiokafka()) == {index: leader for index, (leader, _, _) in expected.items()}


def test_the_cluster_describes_itself(cluster):
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    described = admin.describe_cluster().result(10)
    assert sorted(node.id for node in described.nodes) == [1, 2, 3]
    assert {node.id: node.rack for node in described.nodes} == {1: "north", 2: "south", 3: "west"}
    assert described.controller.id == cluster.metadata().controller
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.nodes[1].bootstrap)
    try:
        assert sorted(b["broker_id"] for b in python.describe_cluster()["brokers"]) == [1, 2, 3]
        quorum = python.describe_metadata_quorum()
        partition, = quorum["topics"][0]["partitions"]
        assert partition["leader_id"] == cluster.metadata().controller
        assert sorted(r["replica_id"] for r in partition["current_voters"] + partition["observers"]) == [1, 2, 3]
    finally:
        python.close()
    views = [clusters.metadata(node) for node in cluster.nodes]
    assert views[0] == views[1] == views[2]


# Records


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_writes_to_and_reads_from_all_leaders(cluster, client):
    topic = make_topic(cluster, partitions=3)
    for partition in range(3):
        sent = [Message(b"k", f"{client}-{index}".encode(), [], 1_700_000_000_000 + index) for index in range(50)]
        assert produce(client, cluster.bootstrap, topic, sent, acks="all", partition=partition) == list(range(50))
        for reader in CLIENTS:
            found = consume(reader, cluster.bootstrap, topic, 50, partition=partition)
            assert [message.content() for message in found] == [message.content() for message in sent]


def test_who_does_not_lead_says_so(cluster):
    topic = make_topic(cluster)
    leader = cluster.leader(topic)
    for node in cluster.nodes:
        expected = 0 if node is leader else cluster_wire.NOT_LEADER
        # A node that has just heard of the topic may not have it ready yet.
        wait_until(lambda: try_produce(node, topic, batch(record(b"x")))[0] == expected, 2, f"answer {expected}")
        # Readers that know of closer replicas (Fetch 11, KIP-392) may read there; older ones may not.
        assert cluster_wire.fetch_error(node, topic) == expected


def test_who_does_not_lead_says_who_does(cluster):
    """The replies name the leader, its epoch and its place, so that the client need not ask again (KIP-951)."""
    topic = make_topic(cluster, replicas=2)
    leader, partition = cluster.leader(topic), cluster.partition(topic)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(10)
    halves = described.topic_id.get_most_significant_bits(), described.topic_id.get_least_significant_bits()
    topic_id = struct.pack(">qq", *halves)
    there = (cluster_wire.NOT_LEADER, (leader.id, partition.leader_epoch), {leader.id: (leader.host, leader.port)})
    for node in cluster.nodes:
        expected = (0, None, {}) if node is leader else there
        for version in (10, 12):
            wait_until(lambda: cluster_wire.produce_redirection(node, topic, version) == expected, 5,
                       f"Produce {version} of node {node.id} answered with {expected}")
        # Any replica may be read (KIP-392).
        expected = (0, None, {}) if node.id in partition.replicas else there
        for version in (16, 17):
            wait_until(lambda: cluster_wire.fetch_redirection(node, topic_id, version) == expected, 5,
                       f"Fetch {version} of node {node.id} answered with {expected}")


def test_groups_have_coordinators_on_several_nodes(cluster):
    topic = make_topic(cluster, partitions=2)
    for partition in range(2):
        produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % i, [], 1) for i in range(20)],
                partition=partition)
    names = [unique("group") for _ in range(6)]
    coordinators = {}
    for name in names:
        wait_until(lambda: cluster_wire.find_coordinator(cluster.nodes[0], name)[0] == 0, 20, "a coordinator")
        answers = {cluster_wire.find_coordinator(node, name) for node in cluster.nodes}
        assert len(answers) == 1, "every node knows the coordinator"
        coordinators[name] = answers.pop()[1]
    assert len(set(coordinators.values())) > 1
    for name in names:
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": cluster.bootstrap, "group.id": name, "auto.offset.reset": "earliest",
             "enable.auto.commit": False})
        try:
            consumer.subscribe([topic])
            found = []
            end = time.monotonic() + 20
            while len(found) < 40 and time.monotonic() < end:
                found += [m for m in consumer.consume(40 - len(found), 0.2) if not m.error()]
            assert len(found) == 40
            consumer.commit(asynchronous=False)
            places = [TopicPartition(topic, partition) for partition in range(2)]
            assert [p.offset for p in consumer.committed(places, 10)] == [20, 20]
        finally:
            consumer.close()


def test_transactions_over_partitions_and_coordinators_of_all_nodes(cluster):
    topic = make_topic(cluster, partitions=3)
    coordinators = set()
    for number in range(4):
        # A name whose coordinator is the next node: which one a name has is chance.
        node = None
        while node != number % 3 + 1:
            name = unique("transactional")
            node = cluster_wire.find_coordinator(cluster.nodes[0], name, True)[1]
        producer = ConfluentTransactions(cluster.bootstrap, name)
        coordinators.add(node)
        for is_commit in (True, False, True):
            producer.begin()
            for partition in range(3):
                producer.send(topic, partition, f"{number}-{is_commit}")
            producer.send_offsets({(topic, 0): number + 1}, "offsets-of-transactions")
            producer.commit() if is_commit else producer.abort()
        producer.close()
    assert coordinators == {1, 2, 3}
    for client in CLIENTS:
        for partition in range(3):
            found = [value for _, _, value in read_to_end(client, cluster.bootstrap, topic, partition)]
            assert found == [f"{number}-True" for number in range(4) for _ in range(2)]
    assert len(read_to_end("confluent", cluster.bootstrap, topic, 1, committed=False)) == 12
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": "offsets-of-transactions"})
    assert consumer.committed([TopicPartition(topic, 0)], 10)[0].offset == 4
    consumer.close()


def test_a_reader_is_sent_to_the_replica_in_its_rack(cluster):
    topic = make_topic(cluster)
    produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % i, [], 1) for i in range(10)])
    racks = {1: "north", 2: "south", 3: "west"}
    leader = cluster.leader(topic)
    for node in cluster.nodes:
        # A replica is chosen when it is known to have what is asked for.
        expected = -1 if node is leader else node.id
        wait_until(lambda: cluster_wire.fetch_from(leader, topic, racks[node.id])[1] == expected, 10,
                   f"rack {racks[node.id]} being sent to {expected}")
        wait_until(lambda: cluster_wire.fetch_from(node, topic, racks[node.id])[2] > 0, 2, "records of the follower")
        found = consume("confluent", cluster.bootstrap, topic, 10, **{"client.rack": racks[node.id]})
        assert texts(found) == [str(i) for i in range(10)]
    assert cluster_wire.fetch_from(leader, topic, "east")[1] == -1
    assert cluster_wire.fetch_from(leader, topic, "")[1] == -1


# Administration


def test_any_node_takes_changes(cluster):
    """They reach the controller, and all nodes know of them."""
    for node in cluster.nodes:
        topic = unique("forwarded")
        assert cluster_wire.create_topic(node, topic, 2, 3) == 0
        wait_until(lambda: all(topic in clusters.metadata(n).topics for n in cluster.nodes), 5, "the topic everywhere")
        assert cluster_wire.create_topic(node, topic, 2, 3) == 36  # TOPIC_ALREADY_EXISTS
        assert cluster_wire.create_topic(node, unique("too-many"), 1, 4) == 38  # INVALID_REPLICATION_FACTOR
        assert cluster_wire.create_partitions(node, topic, 5) == 0
        wait_until(lambda: all(len(clusters.metadata(n).topics[topic]) == 5 for n in cluster.nodes), 5, "5 partitions")
        assert cluster_wire.set_topic_config(node, topic, "retention.ms", "12345") == 0
        for asked in cluster.nodes:
            admin = AdminClient({"bootstrap.servers": asked.bootstrap})
            resource = confluent_kafka.admin.ConfigResource("topic", topic)
            wait_until(lambda: admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "12345",
                       5, "the configuration")
        assert cluster_wire.delete_topic(node, topic) == 0
        wait_until(lambda: not any(topic in clusters.metadata(n).topics for n in cluster.nodes), 5, "no topic")
        wait_until(lambda: not any(list(n.data.glob(f"{topic}-?")) for n in cluster.nodes), 20, "no files of it")


def test_the_clients_own_administration(cluster):
    admin = AdminClient({"bootstrap.servers": cluster.nodes[0].bootstrap})
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.nodes[1].bootstrap)
    try:
        topic = unique("admin")
        python.create_topics([kafka.admin.NewTopic(topic, 2, 3)])
        admin.create_partitions([NewPartitions(topic, 4)])[topic].result(10)
        wait_until(lambda: len(python.describe_topics([topic])[0]["partitions"]) == 4, 5, "4 partitions")
        admin.delete_topics([topic])[topic].result(10)
        wait_until(lambda: topic not in python.list_topics(), 5, "no topic")
    finally:
        python.close()


def test_partitions_move_and_elections_follow(cluster):
    topic = make_topic(cluster, replicas=2)
    before = cluster.partition(topic).replicas
    produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % i, [], 1) for i in range(100)])
    third = ({1, 2, 3} - set(before)).pop()
    target = [third, before[0]]
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    place = kafka.TopicPartition(topic, 0)
    try:
        assert python.alter_partition_reassignments({place: target}) == {place: None}
        wait_until(lambda: cluster.partition(topic).replicas == target, 20, "the move")
        wait_until(lambda: python.list_partition_reassignments() == {}, 5, "no reassignment")
        cluster.wait_until_healthy()
        # The one that led stayed a replica, and goes on.
        assert cluster.partition(topic).leader == before[0]
        wanted = [TopicPartition(topic, 0)]
        result = admin.elect_leaders(ElectionType.PREFERRED, wanted).result(10)
        assert result == {TopicPartition(topic, 0): None}, result
        wait_until(lambda: cluster.partition(topic).leader == third, 5, "the preferred leader")
        again = admin.elect_leaders(ElectionType.PREFERRED, wanted).result(10)
        assert again[TopicPartition(topic, 0)].code() == 84  # ELECTION_NOT_NEEDED
        assert texts(consume("confluent", cluster.bootstrap, topic, 100)) == [str(i) for i in range(100)]
        left, = set(before) - set(target)
        wait_until(lambda: not (cluster.node(left).data / f"{topic}-0").exists(), 20, "no files where it was")
    finally:
        python.close()


# A node away


def test_a_leader_that_is_stopped_hands_over(make_cluster):
    cluster = make_cluster()
    topic = make_topic(cluster, partitions=3)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    load = Load(cluster, topic, 3)
    pauses = []
    for _ in range(2):
        leader = cluster.leader(topic)
        began = time.monotonic()
        leader.stop()
        ended = time.monotonic()
        assert cluster.partition(topic).leader not in (leader.id, -1)
        load.first_after(ended)
        pauses.append(load.longest_pause(began))
        leader.start()
        cluster.wait_until_healthy()
        result = admin.elect_leaders(ElectionType.PREFERRED, None).result(10)
        assert all(error is None or error.code() == 84 for error in result.values()), result
    load.finish()
    print(f"controlled shutdowns: longest pauses {pauses}")
    assert max(pauses) < 1.5


def test_a_killed_leader_is_replaced_within_its_session(make_cluster):
    cluster = make_cluster()
    topic = make_topic(cluster)
    load = Load(cluster, topic)
    elections, pauses = [], []
    for _ in range(2):
        leader = cluster.leader(topic)
        leader.kill()
        killed = time.monotonic()
        wait_until(lambda: cluster.partition(topic).leader not in (leader.id, -1), 10, "a new leader")
        elections.append(time.monotonic() - killed)
        time.sleep(0.1)  # Until what was on its way is told.
        pauses.append(load.first_after(killed + 0.1) + 0.1)
        leader.start()
        cluster.wait_until_healthy()
    load.finish()
    print(f"kills: new leaders after {elections}, first acknowledgements after {pauses}")
    # etcd looks for ended leases twice a second; librdkafka asks for the new leader when it finds the old one gone.
    assert max(elections) < SESSION_SECONDS + 1.0
    assert max(pauses) < SESSION_SECONDS + 2.0


def test_too_few_replicas_refuse_acks_all(make_cluster):
    cluster = make_cluster()
    topic = make_topic(cluster, min_insync_replicas=3)
    leader = cluster.leader(topic)
    assert try_produce(leader, topic, batch(record(b"all")))[0] == 0
    other = next(node for node in cluster.nodes if node is not leader)
    other.kill()
    wait_until(lambda: other.id not in cluster.partition(topic).in_sync, 10, "a smaller in-sync set")
    assert try_produce(leader, topic, batch(record(b"refused")))[0] == cluster_wire.NOT_ENOUGH_REPLICAS
    with Connection(leader) as connection:
        assert produce_error(connection.ask(produce_frame(topic, batch(record(b"one")), acks=1)))[0] == 0
    other.start()
    cluster.wait_until_healthy()
    assert try_produce(leader, topic, batch(record(b"again")))[0] == 0
    found = texts(consume("confluent", cluster.bootstrap, topic, 3))
    assert found == ["all", "one", "again"]


def test_a_node_whose_disk_is_empty_is_filled_by_the_others(make_cluster):
    """It comes back faster than its session ends, so that nobody saw it go; it must not lead with nothing."""
    cluster = make_cluster()
    cluster.allow_error("another node with the id")  # Its former life, until that has ended.
    topic = make_topic(cluster)
    produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % i, [], 1) for i in range(500)])
    leader = cluster.leader(topic)
    leader.kill()
    leader.wipe()
    leader.start()
    cluster.wait_until_healthy()
    assert cluster.partition(topic).leader != leader.id or cluster.partition(topic).leader_epoch > 0
    assert texts(consume("confluent", cluster.bootstrap, topic, 500)) == [str(i) for i in range(500)]
    # And it has them all: the others may go.
    followers = [node for node in cluster.nodes if node is not leader]
    for node in followers:
        node.stop()
    wait_until(lambda: cluster.partition(topic).leader == leader.id, 10, "the once empty one as the leader")
    assert texts(consume("confluent", leader.bootstrap, topic, 500)) == [str(i) for i in range(500)]


def test_all_but_the_empty_node_away(make_cluster):
    """The empty one is the only one there; nobody leads rather than that."""
    cluster = make_cluster()
    cluster.allow_error("another node with the id")  # Its former life, until that has ended.
    topic = make_topic(cluster)
    produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % i, [], 1) for i in range(50)])
    for node in cluster.nodes:
        node.kill()
    empty, *others = cluster.nodes
    empty.wipe()
    empty.start()
    end = time.monotonic() + SESSION_SECONDS + 1.5
    while time.monotonic() < end:
        partition = cluster.partition(topic)
        assert partition.leader != empty.id and set(partition.in_sync) & {2, 3}, partition
        time.sleep(0.1)
    cluster.launch(others)
    cluster.wait_until_healthy()
    assert texts(consume("confluent", cluster.bootstrap, topic, 50)) == [str(i) for i in range(50)]


def test_a_node_id_that_is_taken_is_refused(make_cluster, tmp_path):
    cluster = make_cluster()
    second = clusters.ClusterNode(2, tmp_path / "second", clusters.SETTINGS, cluster.etcds)
    second.allow_error("another node with the id 2 is registered")
    second.launch()
    wait_until(lambda: "another node with the id 2 is registered" in second.log(), 10, "the refusal")
    assert "node.ready" not in second.log()
    assert clusters.metadata(cluster.nodes[0]).brokers[2][1] == cluster.node(2).port
    second.finish()
    assert cluster.complaint() is None


# etcd away


def test_records_flow_while_etcd_is_away(make_cluster):
    cluster = make_cluster()
    cluster.allow_error(r"metadata\.")
    topic = make_topic(cluster)
    load = Load(cluster, topic)
    cluster.etcd.kill()
    killed = time.monotonic()
    time.sleep(SESSION_SECONDS + 2.5)
    assert load.longest_pause(killed) < 1, "acks=all needs no etcd"
    assert len(load.acknowledged) - 100 < load.sent <= len(load.acknowledged) + 100
    # Who supervises the nodes is told what they lack.
    for node in cluster.nodes:
        status, body = node.http("/health")
        assert status == 503 and body.startswith("not ready: waiting for the metadata store: "), body
    asked = time.monotonic()
    error = cluster_wire.create_topic(cluster.nodes[0], "without-etcd", 1, 3, timeout=3000)
    # REQUEST_TIMED_OUT, NOT_CONTROLLER, COORDINATOR_NOT_AVAILABLE: all of them mean again, later.
    assert error in (7, 41, 15), error
    assert time.monotonic() - asked < 8
    cluster.etcd.start()
    cluster.wait_until_healthy()
    wait_until(lambda: all(node.http("/health") == (200, "ready\n") for node in cluster.nodes), 20, "ready nodes")
    assert wait_until(lambda: cluster_wire.create_topic(cluster.nodes[0], unique("with-etcd"), 1, 3) == 0, 20,
                      "a new topic")
    load.finish()
    leader = cluster.leader(topic)
    leader.kill()
    wait_until(lambda: cluster.partition(topic).leader not in (leader.id, -1), 10, "a new leader")
    leader.start()
    cluster.wait_until_healthy()


def test_no_client_is_told_of_no_broker(make_cluster):
    """etcd pauses for longer than the sessions, and ends them all when it goes on. A client that heard of no broker then
    would have none to ask again; and a leader is one of the brokers that are named."""
    cluster = make_cluster()
    cluster.allow_error(r"metadata\.")
    topic = make_topic(cluster, partitions=3)
    cluster.etcd.freeze()
    time.sleep(SESSION_SECONDS + 0.5)
    cluster.etcd.thaw()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for node in cluster.nodes:
            view = clusters.metadata(node)
            assert node.id in view.brokers, view
            assert all(p.leader in view.brokers or p.leader == -1 and p.error == 5 for p in view.topics[topic]), view
    assert any("session-ended" in node.log() for node in cluster.nodes), "the sessions ended"
    cluster.wait_until_healthy()


def test_everything_starts_again_with_its_data(make_cluster):
    cluster = make_cluster()
    topic = make_topic(cluster, partitions=3)
    for partition in range(3):
        produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % i, [], 1) for i in range(100)],
                partition=partition)
    for node in cluster.nodes:
        node.kill()
    cluster.etcd.kill()
    cluster.launch(cluster.nodes)
    cluster.allow_error(r"metadata\.unavailable")
    wait_until(lambda: all("metadata.unavailable" in node.log() for node in cluster.nodes), 10, "nodes that wait")
    cluster.etcd.start()
    for node in cluster.nodes:
        node.wait_until_ready()
    cluster.wait_until_healthy()
    for partition in range(3):
        found = texts(consume("confluent", cluster.bootstrap, topic, 100, partition=partition))
        assert found == [str(i) for i in range(100)]
