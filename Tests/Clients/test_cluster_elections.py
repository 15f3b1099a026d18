"""Who leads when leaders go: only who has everything, unless somebody wants it otherwise; and who is forgotten."""

import time

from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import cluster as clusters
import cluster_wire
from clients import Message, consume, produce
from cluster_load import Load
from harness import unique, wait_until
from wire import Connection, batch, produce_error, produce_frame, record, try_produce

ELIGIBLE_LEADERS_NOT_AVAILABLE, PREFERRED_LEADER_NOT_AVAILABLE, ELECTION_NOT_NEEDED = 83, 80, 84
INVALID_REQUEST, BROKER_ID_NOT_REGISTERED = 42, 102


def make_topic(cluster, assignment, **configuration):
    name = unique("topic")
    config = {key.replace("_", "."): str(value) for key, value in configuration.items()}
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    topic = NewTopic(name, len(assignment), replica_assignment=assignment, config=config)
    admin.create_topics([topic])[name].result(20)
    cluster.wait_until_healthy()
    return name


def write(cluster, topic, *values):
    """Acknowledged by all that are in sync."""
    produce("confluent", cluster.bootstrap, topic, [Message(None, value.encode(), [], 1) for value in values])


def values(cluster, topic, count):
    return [message.value.decode() for message in consume("confluent", cluster.bootstrap, topic, count)]


def elect(cluster, kind, topic):
    """The error of the partition, 0 for none."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    error, = admin.elect_leaders(kind, [TopicPartition(topic, 0)]).result(20).values()
    return error.code() if error else 0


def test_an_in_sync_set_that_shrinks_behind_an_append_is_told(make_cluster):
    """The record is in the leader's log and waits for replicas that do not come: when too few are left in sync, its
    writer hears that it is there and not safe (NOT_ENOUGH_REPLICAS_AFTER_APPEND), and the next that it was not taken.
    """
    cluster = make_cluster(settings={
        # Nobody is taken for dead: the leader finds out that they lag.
        "broker.session.timeout.ms": "60000", "replica.lag.time.max.ms": "4000"})
    # Those that were frozen find that etcd has not answered for a while.
    cluster.allow_error(r"metadata\.unavailable")
    # The leader is the controller, which goes on.
    leader = cluster.controller
    followers = [node for node in cluster.nodes if node is not leader]
    topic = make_topic(cluster, [[leader.id, *(node.id for node in followers)]], min_insync_replicas=2)
    assert try_produce(leader, topic, batch(record(b"before")))[0] == 0
    with Connection(leader, limit=60) as connection:
        for node in followers:
            node.freeze()
        connection.send(produce_frame(topic, batch(record(b"in between")), timeout=60_000))
        asked = time.monotonic()
        assert produce_error(connection.reply()[1])[0] == cluster_wire.NOT_ENOUGH_REPLICAS_AFTER_APPEND
        # Not before they had their time, which began when they last had everything.
        assert time.monotonic() - asked > 1
    assert clusters.metadata(leader).topics[topic][0].in_sync == [leader.id]
    assert try_produce(leader, topic, batch(record(b"refused")))[0] == cluster_wire.NOT_ENOUGH_REPLICAS
    for node in followers:
        node.thaw()
    cluster.wait_until_healthy()
    assert try_produce(leader, topic, batch(record(b"after")))[0] == 0
    assert values(cluster, topic, 3) == ["before", "in between", "after"]


def test_who_lacks_records_leads_only_when_that_is_wanted(make_cluster):
    """The last in-sync replica dies, and one comes back that lacks records: the partition stays without a leader until
    a client asks for that one, or gets it at once where the topic allows it. The records that it lacked are lost."""
    cluster = make_cluster()
    cluster.allow_error("controller.unclean-election")
    _, behind, last = cluster.nodes
    assignment = [[last.id, behind.id]]
    careful = make_topic(cluster, assignment, min_insync_replicas=1)
    careless = make_topic(cluster, assignment, min_insync_replicas=1, unclean_leader_election_enable="true")
    topics = careful, careless
    for topic in topics:
        write(cluster, topic, "both have it")
        assert elect(cluster, ElectionType.UNCLEAN, topic) == ELECTION_NOT_NEEDED
    behind.kill()
    wait_until(lambda: all(cluster.partition(topic).in_sync == [last.id] for topic in topics), 20, "one in sync")
    for topic in topics:
        write(cluster, topic, "one has it")
    last.kill()
    wait_until(lambda: all(cluster.partition(topic).leader == -1 for topic in topics), 20, "nobody who leads")
    for topic in topics:
        assert cluster.partition(topic).in_sync == [last.id]
        assert elect(cluster, ElectionType.UNCLEAN, topic) == ELIGIBLE_LEADERS_NOT_AVAILABLE

    behind.start()
    wait_until(lambda: cluster.partition(careless).leader == behind.id, 20, "a leader that lacks records")
    assert values(cluster, careless, 1) == ["both have it"]
    partition = cluster.partition(careful)
    assert partition.leader == -1 and partition.in_sync == [last.id], partition
    assert elect(cluster, ElectionType.PREFERRED, careful) == PREFERRED_LEADER_NOT_AVAILABLE
    assert elect(cluster, ElectionType.UNCLEAN, careful) == 0
    wait_until(lambda: cluster.partition(careful).leader == behind.id, 20, "the leader that was asked for")
    assert cluster.partition(careful).in_sync == [behind.id]
    for topic in topics:
        write(cluster, topic, "the next")
    # The one that had more gives up what the others do not have.
    last.start()
    cluster.wait_until_healthy()
    behind.stop()
    for topic in topics:
        wait_until(lambda: cluster.partition(topic).leader == last.id, 20, "the leader from before")
        assert values(cluster, topic, 2) == ["both have it", "the next"]
    critical = "".join(node.log() for node in cluster.nodes if node.runs)
    assert critical.count("controller.unclean-election") == 2, "the operator is told of each"


def test_preferred_leaders_get_their_partitions_back(make_cluster):
    """By themselves, soon after they are back, without a record that fails."""
    cluster = make_cluster(settings={"leader.imbalance.check.interval.seconds": "1"})
    topic = make_topic(cluster, [[1, 2, 3], [2, 3, 1], [3, 1, 2]])
    load = Load(cluster, topic, 3)

    def leaders():
        return [partition.leader for partition in cluster.metadata().topics[topic]]

    for node in cluster.nodes[:2]:
        node.stop()
        wait_until(lambda: node.id not in leaders(), 20, "other leaders")
        node.start()
        wait_until(lambda: leaders() == [1, 2, 3], 20, "the preferred leaders")
    cluster.wait_until_healthy()
    load.finish()
    assert any("controller.balanced" in log.read_text() for node in cluster.nodes for log in node.runs)


def test_a_node_that_is_gone_for_good_is_forgotten(make_cluster):
    """UnregisterBroker: refused of a node that runs, and of one that nobody knows."""
    cluster = make_cluster()
    asked, other, gone = cluster.nodes
    topic = make_topic(cluster, [[1, 2]])
    moved = make_topic(cluster, [[3, 2]])

    def known():
        """By the brokers that clients are told of, and by those that `martlet cluster status` shows."""
        admin = AdminClient({"bootstrap.servers": asked.bootstrap})
        described = {node.id for node in admin.describe_cluster().result(10).nodes}
        return described, {broker["id"] for broker in cluster.status()["brokers"]}

    def remembered():
        return cluster.etcd.control("get", "--keys-only", "--prefix", "martlet/nodes/").split()

    for node in cluster.nodes:
        assert cluster_wire.unregister_broker(node, gone.id) == INVALID_REQUEST
    assert cluster_wire.unregister_broker(asked, 17) == BROKER_ID_NOT_REGISTERED
    assert known() == ({1, 2, 3}, {1, 2, 3})

    gone.stop()
    for node in asked, other:
        wait_until(lambda: clusters.metadata(node).topics[moved][0].offline == [gone.id], 10, "a replica that is away")
        assert clusters.metadata(node).topics[topic][0].offline == []
    wait_until(lambda: known() == ({1, 2}, {1, 2, 3}), 20, "a node that is only known by its replica")
    admin = AdminClient({"bootstrap.servers": asked.bootstrap})
    admin.delete_topics([moved])[moved].result(20)
    assert f"martlet/nodes/{gone.id}" in remembered()
    # Asked of either node, one of which passes it on to the controller.
    assert cluster_wire.unregister_broker(other, gone.id) == 0
    for node in asked, other:
        wait_until(lambda: cluster_wire.unregister_broker(node, gone.id) == BROKER_ID_NOT_REGISTERED, 10, "no node 3")
    assert f"martlet/nodes/{gone.id}" not in remembered()
    assert known() == ({1, 2}, {1, 2})
    # It may come back, and is as good as a new one.
    gone.start()
    cluster.wait_until_healthy()
    returned = make_topic(cluster, [[3, 1, 2]])
    write(cluster, returned, "here again")
    assert known() == ({1, 2, 3}, {1, 2, 3})
