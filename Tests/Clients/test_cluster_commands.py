"""`martlet cluster` as a user meets it."""

import json
import random
import signal
import socket
import subprocess

from confluent_kafka.admin import AdminClient, NewTopic

import cluster as clusters
from clients import CLIENTS, Message, consume, produce
from harness import BINARY, unique, wait_until


def martlet(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_a_node_becomes_the_first_of_a_cluster(make_broker, make_topic, tmp_path):
    """Its topics, records and groups are there, and it can be done once."""
    alone = make_broker()
    topic = make_topic(alone, partitions=3)
    messages = [Message(str(n).encode(), b"value") for n in range(100)]
    produce(CLIENTS[0], alone.bootstrap, topic, messages)
    etcd = clusters.Etcd(tmp_path / "etcd").start()
    try:
        endpoint = f"etcd.endpoints=http://127.0.0.1:{etcd.port}"
        move = ("cluster", "migrate", "--data", alone.data, "--set", endpoint)
        busy = martlet(*move)
        assert busy.returncode == 1 and "in use" in busy.stderr
        alone.stop()
        moved = martlet(*move)
        assert moved.returncode == 0, moved.stderr
        again = martlet(*move)
        assert again.returncode == 1 and "etcd.prefix" in again.stderr
        first = make_broker({"metadata.store": "etcd", "etcd.endpoints": endpoint.split("=", 1)[1]}, data=alone.data)
        second = make_broker(
            {"metadata.store": "etcd", "etcd.endpoints": endpoint.split("=", 1)[1], "node.id": 2})
        found = consume(CLIENTS[0], second.bootstrap, topic, len(messages))
        assert sorted(message.key for message in found) == sorted(message.key for message in messages)
        status = json.loads(martlet("cluster", "status", "--json", "-b", first.bootstrap).stdout)
        assert [broker["id"] for broker in status["brokers"]] == [1, 2]
        assert not status["offline"] and not status["underReplicated"]
        second.stop()
        first.stop()
    finally:
        etcd.kill()


def test_the_state_of_a_cluster_is_told(make_cluster):
    """In words for people, and as an exit code for scripts: 1 while a partition has no leader."""
    cluster = make_cluster()
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    spread, alone = unique("spread"), unique("alone")
    topics = [NewTopic(spread, 3, replica_assignment=[[1, 2, 3], [2, 3, 1], [3, 1, 2]]),
              NewTopic(alone, 2, replica_assignment=[[3], [1]])]
    for created in admin.create_topics(topics).values():
        created.result(20)
    cluster.wait_until_healthy()

    def status(*bootstrap):
        """(exit code, the line of numbers, {broker: its line}, {partition: its line})"""
        told = martlet("cluster", "status", "-b", ",".join(node.bootstrap for node in bootstrap))
        assert told.stderr == ""
        head, numbers, *lines = told.stdout.splitlines()
        assert head.startswith("Cluster: ")
        brokers, _, partitions = "\n".join(lines).partition("\n\n")
        tables = [[line.split() for line in table.splitlines()] for table in (brokers, partitions)]
        assert tables[0][0] == ["BROKER", "ADDRESS", "ROLE", "LEADS", "REPLICAS", "OUT-OF-SYNC", "LAG"]
        assert tables[1][:1] in ([], [["PARTITION", "LEADER", "REPLICAS", "ISR"]])
        return told.returncode, numbers, *({line[0]: line[1:] for line in table[1:]} for table in tables)

    def line(node, replicas):
        """Of a broker that has everything, by what clients are told."""
        view = cluster.metadata()
        leads = sum(partition.leader == node.id for topic in view.topics.values() for partition in topic)
        role = "controller" if view.controller == node.id else "-"
        return [node.bootstrap, role, str(leads), str(replicas), "0", "0"]

    def in_sync(partitions):
        return {name: sorted(fields[-1].split(",")) for name, fields in partitions.items()}

    code, numbers, brokers, partitions = status(*cluster.nodes)
    assert (code, numbers, partitions) == (0, "Partitions: 5, under-replicated 0, offline 0", {})
    assert brokers == {str(node.id): line(node, replicas) for node, replicas in zip(cluster.nodes, (4, 3, 4))}
    assert sum(int(fields[2]) for fields in brokers.values()) == 5
    assert sum(fields[1] == "controller" for fields in brokers.values()) == 1

    away = cluster.node(3)
    away.kill()
    wait_until(lambda: len(cluster.metadata().brokers) == 2, 20, "two brokers")
    wait_until(lambda: all(3 not in p.in_sync for p in cluster.metadata().topics[spread]), 20, "smaller in-sync sets")
    code, numbers, brokers, partitions = status(*cluster.running)
    assert (code, numbers) == (1, "Partitions: 5, under-replicated 3, offline 1")
    assert brokers == {"1": line(cluster.node(1), 4), "2": line(cluster.node(2), 3),
                       "3": ["away", "-", "0", "4", "3", "?"]}
    assert sum(int(fields[2]) for fields in brokers.values()) == 4
    assert partitions.pop(f"{alone}-0") == ["none", "3", "3"]
    assert in_sync(partitions) == {f"{spread}-{index}": ["1", "2"] for index in range(3)}
    assert {fields[1] for fields in partitions.values()} == {"1,2,3", "2,3,1", "3,1,2"}
    assert {fields[0] for fields in partitions.values()} <= {"1", "2"}

    # Fewer replicas than there should be are no failure. A client that knew the dead node as the controller would go on
    # asking that.
    admin = AdminClient({"bootstrap.servers": ",".join(node.bootstrap for node in cluster.running)})
    admin.delete_topics([alone])[alone].result(20)
    wait_until(lambda: all(alone not in clusters.metadata(node).topics for node in cluster.running), 10, "no topic")
    code, numbers, _, partitions = status(*cluster.running)
    assert (code, numbers) == (0, "Partitions: 3, under-replicated 3, offline 0")
    assert in_sync(partitions) == {f"{spread}-{index}": ["1", "2"] for index in range(3)}
    away.start()
    cluster.wait_until_healthy()
    code, numbers, _, partitions = status(*cluster.nodes)
    assert (code, numbers, partitions) == (0, "Partitions: 3, under-replicated 0, offline 0", {})


def test_a_cluster_is_started_and_stopped_with_one_command(tmp_path):
    # Below the ports that the system gives to outgoing connections, of which there are many here.
    port, etcd_port = _free_ports(3), _free_ports(2)
    process = subprocess.Popen(
        [BINARY, "cluster", "start", "--brokers", "3", "--data", str(tmp_path / "data"), "--port", str(port),
         "--etcd-port", str(etcd_port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert "3 nodes are ready" in line, process.stderr.read()
        bootstrap = line.split()[-1]
        topic = unique("topic")
        made = martlet("topics", "create", topic, "-p", 3, "-r", 3, "-b", bootstrap)
        assert made.returncode == 0, made.stderr
        written = subprocess.run([BINARY, "produce", topic, "-b", bootstrap], input="a\nb\nc\n", text=True, timeout=60)
        assert written.returncode == 0
        read = martlet("consume", topic, "--from-beginning", "--exit", "-b", bootstrap)
        assert sorted(read.stdout.split()) == ["a", "b", "c"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    logs = [(tmp_path / "data" / f"node{n}" / "log").read_text() for n in (1, 2, 3)]
    assert all("node.stopped" in log for log in logs)
    wait_until(lambda: all(_is_free(port + n) for n in range(3)) and _is_free(etcd_port), 10, "ports to be free")


def _free_ports(count):
    while True:
        first = random.randrange(11_000, 31_000)
        if all(_is_free(first + n) for n in range(count)):
            return first


def _is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
