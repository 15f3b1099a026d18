"""Runs a cluster as its users do: etcd and some nodes, each a process; and what is between them, to cut it."""

import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request

import harness
import wire
from harness import wait_until

# Short sessions, so that a test need not wait for long until a dead node is found dead. etcd knows whole seconds.
SESSION_SECONDS = 2
SETTINGS = {"broker.session.timeout.ms": str(SESSION_SECONDS * 1000), "default.replication.factor": "3",
            "min.insync.replicas": "2", "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4", "replica.lag.time.max.ms": "3000",
            "replica.socket.timeout.ms": "3000", "etcd.request.timeout.ms": "2000",
            "group.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": "3000",
            "group.consumer.heartbeat.interval.ms": "300", "log.level": "debug"}

_taken = set()


def fixed_port():
    """A free port that is not given to outgoing connections: a node that was down must find its own again."""
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _taken:
            _taken.add(port)
            return port


class Etcd:
    """One etcd process after another over one data folder: the only member, or one of those that it is told of."""

    PROGRAM = os.environ.get("MARTLET_ETCD", "etcd")
    CONTROL = os.environ.get("MARTLET_ETCDCTL", "etcdctl")

    def __init__(self, folder, host="127.0.0.1", certificates=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.peer_port = fixed_port(), fixed_port()
        # With certificates it talks to those who have one too.
        self.certificates = certificates
        self.endpoint = f"{'https' if certificates else 'http'}://{host}:{self.port}"
        self.peer_endpoint = f"http://127.0.0.1:{self.peer_port}"
        self.members = [self]
        self.process = None

    @property
    def name(self):
        return f"member-{self.peer_port}"

    def start(self):
        self.launch()
        self.wait_until_healthy()
        return self

    def launch(self):
        """Starts it without waiting for it: it may need others for a quorum."""
        command = [self.PROGRAM, "--name", self.name, "--data-dir", str(self.folder / "data"),
                   "--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint,
                   "--listen-peer-urls", self.peer_endpoint, "--initial-advertise-peer-urls", self.peer_endpoint,
                   "--initial-cluster", ",".join(f"{each.name}={each.peer_endpoint}" for each in self.members)]
        if self.certificates:
            command += ["--cert-file", self.certificates.path("server.pem"), "--key-file",
                        self.certificates.path("server.key"), "--trusted-ca-file",
                        self.certificates.path("authority.pem"), "--client-cert-auth"]
        with open(self.folder / "etcd.log", "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def wait_until_healthy(self):
        context = self.certificates.context() if self.certificates else None

        def is_healthy():
            assert self.process.poll() is None, (self.folder / "etcd.log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"{self.endpoint}/health", timeout=1, context=context) as reply:
                    return json.load(reply)["health"] == "true"
            except OSError:
                return False

        wait_until(is_healthy, 20, "etcd")

    def control(self, *arguments):
        """etcdctl; returns what it says."""
        command = [self.CONTROL, "--endpoints", self.endpoint]
        if self.certificates:
            command += ["--cacert", self.certificates.path("authority.pem"), "--cert",
                        self.certificates.path("client.pem"), "--key", self.certificates.path("client.key")]
        result = subprocess.run([*command, *arguments], env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True,
                                text=True, timeout=30, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def kill(self):
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Proxy:
    """The process of fault_proxy.py."""

    def __init__(self, links):
        script = pathlib.Path(__file__).with_name("fault_proxy.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(links)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.open_rules = set()

    def order(self, **fields):
        self.process.stdin.write(json.dumps(fields) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def set(self, link, mode, source="*", reset=False):
        self.order(link=link, mode=mode, source=str(source), reset=reset)
        self.open_rules.discard((link, source))
        if mode != "pass":
            self.open_rules.add((link, source))

    def heal(self, reset=False):
        for link, source in list(self.open_rules):
            self.set(link, "pass", source, reset)

    def stop(self):
        self.process.kill()
        self.process.wait()


class ClusterNode(harness.Broker):
    """A node, which other nodes reach on a listener of its own. `port` is where clients find it: the proxy's, if there
    is one."""

    def __init__(self, node_id, folder, settings, etcds, is_proxied=False):
        super().__init__(folder, settings)
        self.id = node_id
        self.folder.mkdir(parents=True, exist_ok=True)
        self.own_port, self.own_internal_port, self.metrics_port = fixed_port(), fixed_port(), fixed_port()
        self.port = fixed_port() if is_proxied else self.own_port
        self.internal_port = fixed_port() if is_proxied else self.own_internal_port
        self.etcd_endpoints = [etcd.endpoint for etcd in etcds]
        self.links = {}
        if is_proxied:
            etcd, = etcds
            etcd_port = fixed_port()
            self.etcd_endpoints = [f"http://127.0.0.1:{etcd_port}"]
            self.links = {f"{node_id}-clients": (self.port, self.own_port),
                          f"{node_id}-nodes": (self.internal_port, self.own_internal_port),
                          f"{node_id}-etcd": (etcd_port, etcd.port)}
        self.is_frozen = False

    def listen_arguments(self):
        address = f"://{self.host}:"
        return [part for setting in (
            f"node.id={self.id}",
            f"listeners=PLAINTEXT{address}{self.own_port},INTERNAL{address}{self.own_internal_port}",
            f"advertised.listeners=PLAINTEXT{address}{self.port},INTERNAL{address}{self.internal_port}",
            "inter.broker.listener.name=INTERNAL", "metadata.store=etcd",
            f"etcd.endpoints={','.join(self.etcd_endpoints)}") for part in ("--set", setting)]

    @property
    def is_running(self):
        return self.process is not None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.is_frozen = False

    def wipe(self):
        """Its disk is replaced by an empty one."""
        assert self.process is None
        shutil.rmtree(self.data)


@dataclasses.dataclass
class Partition:
    error: int
    leader: int
    leader_epoch: int
    replicas: list
    in_sync: list
    # Those whose nodes are away.
    offline: list


@dataclasses.dataclass
class Metadata:
    brokers: dict
    controller: int
    topics: dict


def metadata(node, limit=3):
    """What the node says of the cluster, {topic: [Partition]} in it."""
    with wire.Connection(node, limit) as connection:
        data = connection.ask(wire.frame(wire.METADATA, 7, struct.pack(">i", -1) + b"\0"))
    position = 4

    def take(layout):
        nonlocal position
        values = struct.unpack_from(">" + layout, data, position)
        position += struct.calcsize(">" + layout)
        return values if len(values) > 1 else values[0]

    def text():
        nonlocal position
        length = take("h")
        if length < 0:
            return None
        position += length
        return data[position - length:position].decode()

    def numbers():
        return [take("i") for _ in range(take("i"))]

    brokers = {}
    for _ in range(take("i")):
        node_id, host, port, rack = take("i"), text(), take("i"), text()
        brokers[node_id] = (host, port, rack)
    text()
    controller = take("i")
    topics = {}
    for _ in range(take("i")):
        take("h")
        name = text()
        take("?")
        partitions = {}
        for _ in range(take("i")):
            error, index, leader, epoch = take("h"), take("i"), take("i"), take("i")
            partitions[index] = Partition(error, leader, epoch, numbers(), numbers(), numbers())
        topics[name] = [partitions[index] for index in sorted(partitions)]
    return Metadata(brokers, controller, topics)


class Cluster:
    def __init__(self, folder, count=3, settings=None, is_proxied=False, racks=None, etcd_members=1,
                 certificates=None, network=None):
        self.folder = pathlib.Path(folder)
        host = network.address if network else "127.0.0.1"
        self.etcds = [Etcd(self.folder / f"etcd{index or ''}", host, certificates) for index in range(etcd_members)]
        for etcd in self.etcds:
            etcd.members = self.etcds
        # The only one, in most tests.
        self.etcd = self.etcds[0]
        self.nodes = []
        for index in range(count):
            own = {**SETTINGS, **(settings or {})}
            if racks:
                own["broker.rack"] = racks[index]
            self.nodes.append(
                ClusterNode(index + 1, self.folder / f"node{index + 1}", own, self.etcds, is_proxied))
            if network:
                self.nodes[-1].host = network.host(index + 1)
                self.nodes[-1].prefix = network.prefix(index + 1)
        self.proxy = None
        if is_proxied:
            self.proxy = Proxy({name: ports for node in self.nodes for name, ports in node.links.items()})

    @property
    def bootstrap(self):
        return ",".join(node.bootstrap for node in self.nodes)

    def node(self, node_id):
        return self.nodes[node_id - 1]

    @property
    def running(self):
        return [node for node in self.nodes if node.is_running]

    # Life

    def start(self):
        self.start_etcd()
        self.launch(self.nodes)
        for node in self.nodes:
            node.wait_until_ready(30)
        self.wait_until_healthy()
        return self

    def start_etcd(self):
        for etcd in self.etcds:
            etcd.launch()
        for etcd in self.etcds:
            etcd.wait_until_healthy()

    def launch(self, nodes):
        for node in nodes:
            node.launch()
        self.tell_proxy()

    def tell_proxy(self):
        if self.proxy:
            self.proxy.order(processes={str(node.id): node.pid for node in self.running})

    def finish(self):
        """Ends all and says what was wrong."""
        problems = []
        if self.proxy:
            self.proxy.heal()
        for node in self.nodes:
            if node.is_frozen:
                node.thaw()
            try:
                node.finish()
            except AssertionError as error:
                problems.append(f"node {node.id}: {error}")
        for etcd in self.etcds:
            if etcd.process is not None:
                etcd.thaw()
                etcd.kill()
        if self.proxy:
            self.proxy.stop()
        assert not problems, "\n".join(problems)

    def allow_error(self, pattern):
        for node in self.nodes:
            node.allow_error(pattern)

    # What it says

    def metadata(self):
        """From whoever answers."""
        for node in self.running:
            try:
                return metadata(node)
            except (OSError, EOFError):
                continue
        raise AssertionError("no node answers")

    def partition(self, topic, partition=0):
        return self.metadata().topics[topic][partition]

    def leader(self, topic, partition=0):
        """The node that leads, when there is one."""
        def led():
            leader = self.partition(topic, partition).leader
            return self.node(leader) if leader > 0 else None
        return wait_until(led, 20, f"a leader of {topic}-{partition}")

    @property
    def controller(self):
        return self.node(wait_until(lambda: max(0, self.metadata().controller), 20, "a controller"))

    def status(self):
        """What `martlet cluster status --json` says when it asks those that run."""
        bootstrap = ",".join(node.bootstrap for node in self.running)
        result = subprocess.run([harness.BINARY, "cluster", "status", "--json", "-b", bootstrap], capture_output=True,
                                text=True, timeout=60, check=False)
        assert result.stdout, result.stderr
        return json.loads(result.stdout)

    def complaint(self):
        """What is not as it should be when all nodes run, by what each of them says; nil when all is well."""
        for node in self.nodes:
            try:
                view = metadata(node)
            except (OSError, EOFError) as error:
                return f"node {node.id} does not answer: {error!r}"
            if len(view.brokers) != len(self.nodes):
                return f"node {node.id} knows of brokers {sorted(view.brokers)}"
            for topic, partitions in view.topics.items():
                for index, partition in enumerate(partitions):
                    is_whole = set(partition.in_sync) == set(partition.replicas) and not partition.offline
                    if partition.leader < 0 or not is_whole:
                        return f"node {node.id}: {topic}-{index} is {partition}"
        return None

    def wait_until_healthy(self, limit=30):
        end = time.monotonic() + limit
        while complaint := self.complaint():
            assert time.monotonic() < end, f"not healthy within {limit} s: {complaint}"
            time.sleep(0.05)
