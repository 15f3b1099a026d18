"""What a cluster costs and how fast it heals. See scripts/benchmark-cluster.

    cluster.py throughput --martlet BINARY --load LOAD      processor time of three nodes beside one, for the load
                                                            generator's requests and for a real client's
    cluster.py client     --martlet BINARY                  the real client's alone
    cluster.py failover   --martlet BINARY                  kill -9 of a leader, and a controlled stop with 1,000 leaders
    cluster.py partitions --martlet BINARY                  10,000 partitions on three nodes
"""
import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

WORKLOADS = {  # name: (per, the load generator's arguments)
    "batch-100B": ("GB", ["--connections", "4", "--depth", "5", "--records", "150", "--size", "100", "--requests", "15000"]),
    "batch-1KiB": ("GB", ["--connections", "4", "--depth", "5", "--records", "16", "--size", "1024", "--requests", "15000"]),
    "pipelined": ("Mreq", ["--connections", "8", "--depth", "5", "--records", "1", "--size", "100", "--requests", "150000"]),
}


# What the real client sends: bytes of a record's value, and over how many partitions.
RECORD, PARTITIONS = 100, 4


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(port, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit(f"nothing listens on port {port}")


def cpu(pid):
    """Seconds of processor time of a process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """Resident MB."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


class Node:
    def __init__(self, binary, folder, id, settings):
        self.port = free_port()
        self.id = id
        self.command = [binary, "server", "--data", f"{folder}/n{id}", "--set", f"node.id={id}",
                        "--set", f"listeners=PLAINTEXT://127.0.0.1:{self.port}"]
        for name, value in settings.items():
            self.command += ["--set", f"{name}={value}"]
        self.log = f"{folder}/n{id}.log"

    def start(self):
        started = time.monotonic()
        before = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.process = subprocess.Popen(self.command, stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)
        while True:
            if os.path.exists(self.log):
                with open(self.log, errors="replace") as file:
                    file.seek(before)
                    if "node.ready" in file.read():
                        return time.monotonic() - started
            if self.process.poll() is not None:
                raise SystemExit(f"node {self.id} ended; see {self.log}")
            time.sleep(0.002)

    @property
    def pid(self):
        return self.process.pid

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)


class Cluster:
    def __init__(self, options, brokers=3, **settings):
        self.folder = tempfile.mkdtemp(dir=options.data, prefix="cluster-")
        port, peer = free_port(), free_port()
        urls = [f"http://127.0.0.1:{p}" for p in (port, peer)]
        self.etcd = subprocess.Popen(
            ["etcd", "--data-dir", f"{self.folder}/etcd", "--listen-client-urls", urls[0], "--advertise-client-urls",
             urls[0], "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1], "--initial-cluster",
             f"default={urls[1]}"], stdout=open(f"{self.folder}/etcd.log", "wb"), stderr=subprocess.STDOUT)
        await_port(port)
        settings = {"metadata.store": "etcd", "etcd.endpoints": urls[0]} | {
            name.replace("_", "."): value for name, value in settings.items()}
        self.nodes = [Node(options.martlet, self.folder, id, settings) for id in range(1, brokers + 1)]
        starts = [threading.Thread(target=node.start) for node in self.nodes]
        for thread in starts:
            thread.start()
        for thread in starts:
            thread.join()
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def metadata(self):
        return self.admin.list_topics(timeout=30)

    def create(self, name, assignments, **configs):
        topic = NewTopic(name, len(assignments), replica_assignment=assignments,
                         config={key.replace("_", "."): str(value) for key, value in configs.items()})
        self.admin.create_topics([topic], request_timeout=120)[name].result(120)

    def end(self):
        for node in reversed(self.nodes):
            node.end()
        self.etcd.terminate()
        self.etcd.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def load(options, port, pid, arguments):
    command = [options.load, "--port", str(port), "--pid", str(pid), "--topic", "t", "--acks", "-1", "--seconds", "60"]
    run = subprocess.run(command + arguments, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"load failed: {run.stderr or run.stdout}")
    return dict(pair.split("=", 1) for pair in run.stdout.split() if "=" in pair)


def amount(figures, per):
    """What was produced: millions of requests, or GB."""
    if per == "Mreq":
        return float(figures["requests"]) / 1e6
    return float(figures["broker_cpu_s"]) / float(figures["cpu_s_per_GB"])


def end_offsets(bootstrap):
    """Of all partitions together."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "benchmark"})
    try:
        places = [TopicPartition("t", partition) for partition in range(PARTITIONS)]
        return sum(consumer.get_watermark_offsets(place, timeout=30)[1] for place in places)
    finally:
        consumer.close()


def produce(bootstrap, records):
    """Records of a confluent-kafka producer with acks=all; the seconds until all were acknowledged."""
    before = end_offsets(bootstrap)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5, "log_level": 0})
    value = os.urandom(RECORD)
    started = time.monotonic()
    for number in range(records):
        while True:
            try:
                producer.produce("t", value, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.01)
    if producer.flush(120) != 0:
        raise SystemExit("not all records were delivered")
    seconds = time.monotonic() - started
    arrived = end_offsets(bootstrap) - before
    if arrived != records:
        raise SystemExit(f"{arrived} records of {records} arrived")
    return seconds


def throughput(options):
    if not options.load:
        raise SystemExit("throughput needs --load")
    compare(options, [against_load, against_client])


def client(options):
    compare(options, [against_client])


def compare(options, loads):
    """Four partitions led by node 1, acks=all, beside a single node of the same build: alternately, medians."""
    for durability in ("fsync", "page-cache"):
        folder = tempfile.mkdtemp(dir=options.data, prefix="single-")
        single = Node(options.martlet, folder, 1, {"log.durability": durability})
        single.start()
        cluster = Cluster(options, log_durability=durability)
        try:
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{single.port}"})
            admin.create_topics([NewTopic("t", PARTITIONS, 1)])["t"].result(30)
            cluster.create("t", [[1, 2, 3]] * PARTITIONS)
            time.sleep(1)
            for run in loads:
                run(options, durability, single, cluster)
        finally:
            single.end()
            cluster.end()
            shutil.rmtree(folder, ignore_errors=True)


def against_load(options, durability, single, cluster):
    pids = [node.pid for node in cluster.nodes]
    for name, (per, arguments) in WORKLOADS.items():
        ones, threes, rates = [], [], []
        for _ in range(options.rounds):
            before, started = cpu(single.pid), time.monotonic()
            units = amount(load(options, single.port, single.pid, arguments), per)
            one_rate = units / (time.monotonic() - started)
            ones.append((cpu(single.pid) - before) / units)
            before, started = sum(map(cpu, pids)), time.monotonic()
            units = amount(load(options, cluster.nodes[0].port, pids[0], arguments), per)
            rates.append((one_rate, units / (time.monotonic() - started)))
            # The followers' rest.
            time.sleep(0.5)
            threes.append((sum(map(cpu, pids)) - before) / units)
        one, three = statistics.median(ones), statistics.median(threes)
        rate = [statistics.median(r[i] for r in rates) for i in (0, 1)]
        print(f"{durability:10} {name:12} one node {one:6.2f} s/{per}  three nodes {three:6.2f} s/{per}  "
              f"ratio {three / one:.2f}  rates {rate[0]:.3f} and {rate[1]:.3f} {per}/s", flush=True)


def against_client(options, durability, single, cluster):
    """Processor time of all brokers, by the records and by the bytes of their values."""
    sides = [(f"127.0.0.1:{single.port}", [single.pid]), (cluster.bootstrap, [node.pid for node in cluster.nodes])]
    costs, rates = [[], []], [[], []]
    for _ in range(options.rounds):
        for side, (bootstrap, pids) in enumerate(sides):
            before = sum(map(cpu, pids))
            seconds = produce(bootstrap, options.records)
            # The followers' rest.
            time.sleep(0.5)
            costs[side].append(sum(map(cpu, pids)) - before)
            rates[side].append(options.records / seconds / 1e6)
    one, three = map(statistics.median, costs)
    millions, gigabytes = options.records / 1e6, options.records * RECORD / 1e9
    print(f"{durability:10} {'client-100B':12} one node {one / gigabytes:6.2f} s/GB {one / millions:6.3f} s/Mrecord  "
          f"three nodes {three / gigabytes:6.2f} s/GB {three / millions:6.3f} s/Mrecord  ratio {three / one:.2f}  "
          f"rates {statistics.median(rates[0]):.3f} and {statistics.median(rates[1]):.3f} Mrecord/s", flush=True)


class Writer:
    """Produces with acks=all all the time and notes when each record was acknowledged."""

    def __init__(self, bootstrap, topic, partitions=None):
        self.acknowledged, self.failed = [], []
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0, "retry.backoff.ms": 10,
            "retry.backoff.max.ms": 50, "topic.metadata.refresh.interval.ms": 200, "socket.timeout.ms": 10000, "log_level": 0,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100,
        })
        self.topic, self.partitions = topic, partitions
        self.running = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        number = 0
        while self.running:
            arguments = {} if self.partitions is None else {"partition": number % self.partitions}
            self.producer.produce(self.topic, str(number).encode(), on_delivery=self.delivered, **arguments)
            number += 1
            self.producer.poll(0.005)
        self.producer.flush(60)

    def delivered(self, error, _):
        (self.failed if error else self.acknowledged).append(time.monotonic())

    def stop(self):
        self.running = False
        self.thread.join()

    def gap(self):
        return max(after - before for before, after in zip(self.acknowledged, self.acknowledged[1:]))


def failover(options):
    session = 3000
    gaps = []
    for _ in range(options.rounds):
        cluster = Cluster(options, broker_session_timeout_ms=session)
        try:
            cluster.create("t", [[3, 1, 2]], min_insync_replicas=2)
            writer = Writer(cluster.bootstrap, "t")
            time.sleep(3)
            killed = time.monotonic()
            cluster.nodes[2].end(signal.SIGKILL)
            while not any(t > killed + 0.2 for t in writer.acknowledged[-5:]):
                time.sleep(0.01)
            first = next(t for t in writer.acknowledged if t > killed + 0.2)
            gaps.append(first - killed)
            writer.stop()
            assert not writer.failed, f"{len(writer.failed)} deliveries failed"
        finally:
            cluster.end()
    print(f"kill -9 of a leader, session {session} ms: first acknowledged write after "
          f"{', '.join(f'{gap * 1000:.0f}' for gap in gaps)} ms", flush=True)

    cluster = Cluster(options)
    try:
        cluster.create("t", [[3, 1, 2]] * 1000)
        writer = Writer(cluster.bootstrap, "t", 1000)
        time.sleep(8)
        stopped = time.monotonic()
        cluster.nodes[2].process.terminate()
        while any(p.leader == 3 for p in cluster.metadata().topics["t"].partitions.values()):
            time.sleep(0.01)
        moved = time.monotonic() - stopped
        cluster.nodes[2].process.wait(60)
        ended = time.monotonic() - stopped
        time.sleep(2)
        writer.stop()
        print(f"controlled stop with 1,000 leaders: moved after {moved * 1000:.0f} ms, process ended after "
              f"{ended * 1000:.0f} ms, longest pause of a writer {writer.gap() * 1000:.0f} ms, "
              f"{len(writer.acknowledged)} acknowledged, {len(writer.failed)} failed", flush=True)
    finally:
        cluster.end()


def partitions(options):
    cluster = Cluster(options, broker_session_timeout_ms=3000, max_partitions=40000)
    try:
        empty = [memory(node.pid) for node in cluster.nodes]
        started = time.monotonic()
        for index in range(options.partitions // 100):
            cluster.create(f"t{index}", [[1 + (p + r) % 3 for r in range(3)] for p in range(100)])
        created = time.monotonic() - started
        time.sleep(5)
        started = time.monotonic()
        metadata = cluster.metadata()
        asked = time.monotonic() - started
        total = sum(len(topic.partitions) for topic in metadata.topics.values())
        full = [memory(node.pid) for node in cluster.nodes]
        before = [cpu(node.pid) for node in cluster.nodes]
        time.sleep(10)
        idle = [(cpu(node.pid) - b) * 10 for node, b in zip(cluster.nodes, before)]
        print(f"{total} partitions x 3: made in {created:.1f} s; all metadata in {asked * 1000:.0f} ms; memory of a node "
              f"{max(empty):.0f} -> {max(full):.0f} MB; idle {max(idle):.1f} % of a processor", flush=True)

        killed = time.monotonic()
        cluster.nodes[2].end(signal.SIGKILL)
        while any(p.leader in (3, -1) for t in cluster.metadata().topics.values() for p in t.partitions.values()):
            time.sleep(0.05)
        print(f"kill -9 of a node that leads a third: all led by others after {time.monotonic() - killed:.2f} s "
              "(session 3 s)", flush=True)
        ready = cluster.nodes[2].start()
        print(f"start of that node after the kill: ready after {ready:.2f} s", flush=True)
        started = time.monotonic()
        while any(len(p.isrs) < 3 for t in cluster.metadata().topics.values() for p in t.partitions.values()):
            time.sleep(0.1)
        print(f"in all in-sync sets again after {time.monotonic() - started:.1f} s more", flush=True)
        started = time.monotonic()
        cluster.nodes[2].end()
        print(f"clean stop: {time.monotonic() - started:.2f} s", flush=True)
        print(f"start after it: ready after {cluster.nodes[2].start():.2f} s", flush=True)
    finally:
        cluster.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["throughput", "client", "failover", "partitions"])
    parser.add_argument("--martlet", required=True)
    parser.add_argument("--load", help="the load generator; needed for throughput")
    parser.add_argument("--data", default=tempfile.gettempdir(), help="a folder on the disk to measure with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=3_000_000, help="what the real client sends in a round")
    parser.add_argument("--partitions", type=int, default=10_000, help="each takes three open files on each node")
    options = parser.parse_args()
    globals()[options.what](options)


if __name__ == "__main__":
    main()
