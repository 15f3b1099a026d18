"""What the nodes keep their metadata in: several members of which some are away, one that forgets, one that asks who is
there."""

import threading
import time

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import cluster as clusters
import cluster_wire
from certificates import Certificates
from clients import Message, consume, produce
from cluster import SESSION_SECONDS
from cluster_load import Load
from harness import unique, wait_until
from test_cluster_faults import EXPECTED


TOPIC_ALREADY_EXISTS = 36


def make_topic(cluster):
    name = unique("topic")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(name, 1, 3)])[name].result(20)
    cluster.wait_until_healthy()
    return name


@pytest.mark.timeout(400)
def test_one_member_of_three_may_be_away(make_cluster):
    """With two away nothing can be changed, which whoever asks is told in time; records go on all the while."""
    cluster = make_cluster(etcd_members=3)
    cluster.allow_error(EXPECTED)
    topic = make_topic(cluster)
    load = Load(cluster, topic)

    def topics_can_be_made():
        error = cluster_wire.create_topic(cluster.nodes[0], unique("made"), 1, 3)
        # REQUEST_TIMED_OUT, NOT_CONTROLLER, COORDINATOR_NOT_AVAILABLE: all of them mean again, later.
        assert error in (0, 7, 41, 15), error
        return error == 0

    began = time.monotonic()
    for index, etcd in enumerate(cluster.etcds):
        # Each of them once, so that also the one that the nodes talk to is among them, and the leader.
        etcd.kill()
        wait_until(topics_can_be_made, 30, f"a topic without member {index}", 0.2)
        etcd.start()
    cluster.wait_until_healthy()

    first, second, _ = cluster.etcds
    first.kill()
    wait_until(topics_can_be_made, 30, "a topic with two members", 0.2)
    second.kill()
    killed = time.monotonic()
    wait_until(lambda: all("waiting for the metadata store" in node.http("/health")[1] for node in cluster.nodes), 30,
               "nodes that notice")
    asked = time.monotonic()
    error = cluster_wire.create_topic(cluster.nodes[0], "without-quorum", 1, 3, timeout=3000)
    assert error in (7, 41, 15), error
    assert time.monotonic() - asked < 10
    # Longer than the sessions: there is nobody to end them.
    wait_until(lambda: time.monotonic() > killed + SESSION_SECONDS + 1, 20, "the time of a session")
    sent = load.sent
    wait_until(lambda: len(load.acknowledged) > sent, 10, "acknowledgements with acks=all")

    second.start()
    wait_until(topics_can_be_made, 30, "a topic with two members again", 0.2)
    first.start()
    cluster.wait_until_healthy()
    wait_until(lambda: all(node.http("/health")[0] == 200 for node in cluster.nodes), 20, "nodes that are well")
    assert "without-quorum" not in cluster.metadata().topics
    load.finish()
    print(f"{load.sent} records, longest pause {load.longest_pause(began):.2f} s")


def test_nodes_read_anew_what_etcd_has_forgotten_to_tell(make_cluster):
    """A node is cut off from etcd while much changes, and etcd drops the history of that: the node reads the whole, and
    serves it as the others do."""
    # It stays a member all the while: what it knows it has from the reading alone.
    cluster = make_cluster(is_proxied=True, settings={"broker.session.timeout.ms": "30000"})
    cluster.allow_error(EXPECTED)
    topic = make_topic(cluster)
    behind = next(node for node in cluster.nodes if node is not cluster.controller)
    others = [node for node in cluster.nodes if node is not behind]
    stopping = threading.Event()
    made, problems = [], []

    def change():
        while not stopping.wait(0.02):
            name = unique("made")
            error = cluster_wire.create_topic(others[0], name, 1, 3)
            if error == 0:
                made.append(name)
                error = cluster_wire.set_topic_config(others[1], name, "retention.ms", "12345")
            if error:
                problems.append(error)

    worker = threading.Thread(target=change)
    worker.start()
    try:
        wait_until(lambda: made, 20, "a first change")
        cluster.proxy.set(f"{behind.id}-etcd", "cut")
        known = len(made)
        wait_until(lambda: len(made) > known + 5, 30, "changes")
        missed = made[known + 3]
        told = cluster.etcd.control("get", f"martlet/topics/{missed}", "--write-out=fields")
        revision, = (line.split()[-1] for line in told.splitlines() if line.startswith('"Revision"'))
        cluster.etcd.control("compact", revision)
        assert missed not in clusters.metadata(behind).topics
        assert "etcd.history-lost" not in behind.log()
        # What was on its way is lost as well.
        cluster.proxy.set(f"{behind.id}-etcd", "pass", reset=True)
        wait_until(lambda: "etcd.history-lost" in behind.log(), 60, "a history that is lost")
        wait_until(lambda: missed in clusters.metadata(behind).topics, 20, "what it missed")
        later = len(made)
        wait_until(lambda: len(made) > later + 5, 30, "more changes")
    finally:
        stopping.set()
        worker.join(60)
    assert not worker.is_alive() and problems == []
    wait_until(lambda: set(made) <= clusters.metadata(behind).topics.keys(), 20, "all topics")
    cluster.wait_until_healthy()
    views = [clusters.metadata(node) for node in cluster.nodes]
    assert views[0] == views[1] == views[2]
    resource = confluent_kafka.admin.ConfigResource("topic", made[-1])
    admin = AdminClient({"bootstrap.servers": behind.bootstrap})
    assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "12345"
    assert "session-ended" not in behind.log()
    # And it follows what comes then.
    later = make_topic(cluster)
    wait_until(lambda: later in clusters.metadata(behind).topics, 10, "a later topic")
    produce("confluent", cluster.bootstrap, topic, [Message(None, b"x", [], 1)])


def test_a_controller_that_was_replaced_promises_nothing(make_cluster):
    """It is cut off from etcd, and does not know of another: what it is asked for looks to it as if it were so already."""
    cluster = make_cluster(is_proxied=True)
    cluster.allow_error(EXPECTED)
    topic = make_topic(cluster)
    before, old = cluster.partition(topic).replicas, cluster.controller
    assert cluster_wire.reassign(old, topic, before) == (0, [0])
    cluster.proxy.set(f"{old.id}-etcd", "cut")
    others = [node for node in cluster.nodes if node is not old]
    wait_until(lambda: clusters.metadata(others[0]).controller in [node.id for node in others], 20, "another controller")
    target = before[1:] + before[:1]
    assert cluster_wire.reassign(others[0], topic, target) == (0, [0])
    wait_until(lambda: clusters.metadata(others[0]).topics[topic][0].replicas == target, 20, "the move")

    assert clusters.metadata(old).controller == old.id
    assert clusters.metadata(old).topics[topic][0].replicas == before
    error, partitions = cluster_wire.reassign(old, topic, before)
    # As for creating a topic: again, later.
    assert error in (7, 41, 15) and partitions == [], (error, partitions)

    cluster.proxy.set(f"{old.id}-etcd", "pass", reset=True)
    cluster.wait_until_healthy()
    wait_until(lambda: cluster_wire.reassign(old, topic, target) == (0, [0]), 20, "a node that forwards again", 0.2)
    assert cluster.partition(topic).replicas == target


def test_etcd_with_certificates_and_a_password(make_cluster, tmp_path):
    """A user that may touch the cluster's keys alone is enough. Who has another password, or a certificate of somebody
    else's, says what is wrong and does not serve."""
    certificates = Certificates(tmp_path / "certificates")
    credentials = {**certificates.settings(), "etcd.username": "martlet", "etcd.password": "secret of nodes"}
    cluster = make_cluster(settings=credentials, certificates=certificates, start=False)
    cluster.start_etcd()
    etcd = cluster.etcd
    for order in (["user", "add", "root:root"], ["user", "grant-role", "root", "root"], ["role", "add", "nodes"],
                  ["role", "grant-permission", "--prefix=true", "nodes", "readwrite", "martlet/"],
                  ["user", "add", "martlet:secret of nodes"], ["user", "grant-role", "martlet", "nodes"],
                  ["auth", "enable"]):
        etcd.control(*order)
    cluster.launch(cluster.nodes)
    for node in cluster.nodes:
        node.wait_until_ready()
    topic = make_topic(cluster)
    produce("confluent", cluster.bootstrap, topic, [Message(None, b"%d" % n, [], 1) for n in range(10)])
    cluster.node(1).kill_and_start()
    cluster.wait_until_healthy()
    # etcd forgets the tokens that it gave out.
    cluster.allow_error(EXPECTED)
    etcd.kill()
    etcd.start()
    wait_until(lambda: all(node.http("/health")[0] == 200 for node in cluster.nodes), 20, "nodes that are well")
    later = unique("later")
    wait_until(lambda: cluster_wire.create_topic(cluster.nodes[0], later, 1, 3) in (0, TOPIC_ALREADY_EXISTS), 30, later)
    wait_until(lambda: all(later in clusters.metadata(node).topics for node in cluster.nodes), 20, "a later topic")
    assert len(consume("confluent", cluster.bootstrap, topic, 10)) == 10

    stranger = certificates.path("stranger.pem")
    wrong = [({"etcd.password": "a guess"}, "invalid user ID or password"),
             ({"etcd.ssl.ca.location": stranger}, "CERTIFICATE_VERIFY_FAILED"),
             ({"etcd.ssl.certificate.location": stranger,
               "etcd.ssl.key.location": certificates.path("stranger.key")}, "closed the connection")]
    nodes = []
    for index, (change, reason) in enumerate(wrong):
        settings = {**clusters.SETTINGS, **credentials, **change}
        node = clusters.ClusterNode(index + 4, tmp_path / f"wrong{index}", settings, cluster.etcds)
        nodes.append((node, reason))
        node.allow_error(r"waiting for etcd .*metadata\.unavailable")
        node.launch()
    try:
        for node, reason in nodes:
            wait_until(lambda: any(reason in line for line in node.log().splitlines() if " error " in line), 30, reason)
    finally:
        for node, _ in nodes:
            node.finish()
    assert all("node.ready" not in node.log() for node, _ in nodes)
    assert cluster.metadata().brokers.keys() == {1, 2, 3}
