"""`martlet cluster` as a user meets it."""

import json
import random
import signal
import socket
import subprocess

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
