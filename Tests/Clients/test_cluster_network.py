"""Nodes whose network is cut for longer than their session: both ways, and one way only, which no proxy can do to a
connection. Nothing ends the connections; what is sent is lost."""

import threading
import time

import pytest
from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient, NewTopic

import cluster as clusters
from cluster import SESSION_SECONDS
from cluster_load import Load
from harness import unique, wait_until
from network import Network, Refused
from test_cluster_faults import EXPECTED, compare_replicas
from transactional import read_to_end
from wire import Connection, batch, produce_error, produce_frame, record


@pytest.fixture
def network():
    try:
        made = Network(3)
    except (Refused, FileNotFoundError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    yield made
    made.close()


class Neighbour:
    """A writer on the machine of one node, which reaches that node whatever becomes of the network around it."""

    def __init__(self, network, node, topic):
        self.network, self.node, self.topic = network, node, topic
        self.sent, self.acknowledged, self.refused = 0, [], []
        self.stopping = threading.Event()
        self.problem = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            self.network.within(self.node.id, self._write)
        except Exception as error:
            self.problem = repr(error)

    def _write(self):
        with Connection(self.node, limit=60) as connection:
            while not self.stopping.wait(0.02):
                value = str(self.sent)
                self.sent += 1
                request = produce_frame(self.topic, batch(record(value.encode())), timeout=500)
                error = produce_error(connection.ask(request))[0]
                if error == 0:
                    self.acknowledged.append(value)
                else:
                    self.refused.append(error)

    def finish(self):
        self.stopping.set()
        self.thread.join(90)
        assert not self.thread.is_alive() and self.problem is None, self.problem


@pytest.mark.timeout(400)
def test_a_node_that_is_cut_off_loses_nothing_that_it_has_acknowledged(network, make_cluster):
    """Others take over and writers go on with them, while the one that is cut off goes on believing that it leads, and
    a writer beside it too. What that one is told is kept is kept, and in the end all replicas have the same."""
    cluster = make_cluster(network=network)
    cluster.allow_error(EXPECTED)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    topic, beside = unique("topic"), unique("beside")
    for created in admin.create_topics(
            [NewTopic(name, 1, replica_assignment=[[1, 2, 3]]) for name in (topic, beside)]).values():
        created.result(20)
    cluster.wait_until_healthy()
    # A request to a node that is cut off gets no answer, and no error either.
    load = Load(cluster, topic, **{"socket.timeout.ms": 3000, "topic.metadata.refresh.interval.ms": 500})
    first, second, _ = cluster.nodes

    def leaders():
        view = clusters.metadata(second)
        return {view.topics[name][0].leader for name in (topic, beside)}

    told = []
    neighbour = Neighbour(network, first, beside)
    try:
        for fault in network.cut, network.mute, network.deafen:
            acknowledged = len(neighbour.acknowledged)
            wait_until(lambda: len(neighbour.acknowledged) > acknowledged + 20, 20, "a writer that is well")
            refused = len(neighbour.refused)
            fault(first.id)
            began = time.monotonic()
            wait_until(lambda: leaders().isdisjoint({first.id, -1}), 30, f"other leaders after {fault.__name__}")
            elected = time.monotonic()
            load.first_after(elected)
            wait_until(lambda: len(neighbour.refused) > refused, 30, "a writer that is told that it is not kept")
            wait_until(lambda: time.monotonic() > began + 2 * SESSION_SECONDS, 20, "the time of two sessions")
            network.heal(first.id)
            cluster.wait_until_healthy(60)
            told.append(f"{fault.__name__}: other leaders after {elected - began:.1f} s, longest pause "
                        f"{load.longest_pause(began):.1f} s")
            result = admin.elect_leaders(ElectionType.PREFERRED, None).result(20)
            assert all(error is None or error.code() == 84 for error in result.values()), result
            wait_until(lambda: leaders() == {first.id}, 20, "the leader from before")
    finally:
        neighbour.finish()
        network.heal(first.id)
    load.finish()
    found = [value for _, _, value in read_to_end("confluent", cluster.bootstrap, beside, 0)]
    assert len(set(found)) == len(found)
    missing = set(neighbour.acknowledged) - set(found)
    assert not missing, sorted(missing)
    for node in cluster.nodes:
        node.stop()
    assert compare_replicas(cluster) > 0
    print(f"{'; '.join(told)}; {load.sent} records, beside the node {len(neighbour.acknowledged)} acknowledged of "
          f"{neighbour.sent}")
