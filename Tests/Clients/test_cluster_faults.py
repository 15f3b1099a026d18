"""Nodes and etcd that die, stop, come back and cannot reach each other, under a mixed load, while replicas move and
leaders are elected; judged by what all clients were told (check-history), and by what each replica has in the end.

MARTLET_FAULTS is how many faults happen, MARTLET_FAULT_SEED repeats a schedule, MARTLET_KEEP keeps the folders."""

import collections
import json
import os
import random
import struct
import time
from types import SimpleNamespace

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import history
from administrator import Administrator
from faults import KINDS, Faults
from harness import unique, wait_until
from history_clients import PARTITIONS, Client, GroupMember, Producer, TransactionalProducer, final_read
from transactional import QUIET, committed_offsets, patience
from transformation import Feeder, transform_while

FAULTS = int(os.environ.get("MARTLET_FAULTS", "100"))
SEED = int(os.environ.get("MARTLET_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
# Faults between two looks whether all is well again.
ROUND = 25
# What the nodes may complain of when they are treated so.
EXPECTED = r"metadata\.(unavailable|failed|not-read)|cluster\.not-registered|transactions\.no-producer-id"


class PlainReader(Client):
    """Reads all partitions from their beginning to wherever they are, again and again with a new consumer."""

    isolation = None

    def begin(self):
        self.name, self.lives, self.seen = self.process, 0, 0
        self.begin_session()

    def begin_session(self):
        self.lives += 1
        self.process = f"{self.name}.{self.lives}"
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.broker.bootstrap, "group.id": unique("plain"), "enable.auto.commit": False,
             "isolation.level": self.isolation, "fetch.wait.max.ms": 100, "auto.offset.reset": "error",
             **patience(self.broker.bootstrap), **QUIET})
        self.consumer.assign(
            [TopicPartition(self.topic, place, confluent_kafka.OFFSET_BEGINNING) for place in range(PARTITIONS)])
        self.ends_at = time.monotonic() + self.chance.uniform(40, 80)

    def once(self):
        since = time.monotonic_ns()
        found = collections.defaultdict(list)
        for message in self.consumer.consume(200, 0.1):
            if message.error():
                # A reader that stands where its leader has nothing: records were shown that are not there any more.
                assert message.error().code() not in (
                    confluent_kafka.KafkaError.OFFSET_OUT_OF_RANGE, confluent_kafka.KafkaError._AUTO_OFFSET_RESET
                ), f"{message.partition()}: {message.error()}"
                continue
            found[message.partition()].append({
                **history.place(self.topic, message.partition()), "offset": message.offset(),
                "value": message.value().decode()})
        if found:
            records = [record for part in found.values() for record in part]
            self.recorder.saw("poll", self.process, since, isolation=self.isolation, records=records)
            self.seen += len(records)
        if time.monotonic() > self.ends_at:
            self.consumer.close()
            self.begin_session()

    def end(self):
        self.consumer.close()


class NewMember(GroupMember):
    """Of a group of the new protocol (KIP-848)."""

    def options(self):
        return {"group.protocol": "consumer"}


class CommittedReader(PlainReader):
    isolation = "read_committed"


class UncommittedReader(PlainReader):
    isolation = "read_uncommitted"


def make_topic(cluster, partitions=PARTITIONS, **configuration):
    name = unique("topic")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    config = {key.replace("_", "."): str(value) for key, value in configuration.items()}
    admin.create_topics([NewTopic(name, partitions, 3, config=config)])[name].result(20)
    cluster.wait_until_healthy()
    return name


def batches(path):
    """Of each batch in a segment: base offset, epoch, checksum, records, producer (id, epoch). What is behind the last is
    preallocated."""
    data = path.read_bytes()
    position = 0
    found = []
    while position + 61 <= len(data):
        base, length, epoch = struct.unpack_from(">qii", data, position)
        if length == 0:
            break
        checksum, = struct.unpack_from(">I", data, position + 17)
        count, = struct.unpack_from(">i", data, position + 57)
        found.append((base, epoch, checksum, count, struct.unpack_from(">qh", data, position + 43)))
        position += 12 + length
    return found


def compare_replicas(cluster):
    """Every replica has the same batches under the same epochs. The nodes have stopped. Returns how many there are."""
    total = 0
    contents = collections.defaultdict(dict)
    for node in cluster.nodes:
        for folder in sorted(node.data.iterdir()):
            if not folder.is_dir() or not any(folder.glob("*.log")) or folder.name.endswith("-delete"):
                continue
            contents[folder.name][node.id] = [
                batch for segment in sorted(folder.glob("*.log")) for batch in batches(segment)]
    for partition, replicas in contents.items():
        first, *others = replicas.values()
        for other in others:
            different = next((pair for pair in zip(first, other) if pair[0] != pair[1]), None)
            assert first == other, (
                f"replicas of {partition} differ: {[(node, len(found)) for node, found in replicas.items()]}, "
                f"first at {different}")
        total += len(first)
    return total


def wait_for_progress(clients, limit=80):
    """Until each client has done something, and has been told so. librdkafka waits for up to a minute (its
    socket.timeout.ms, or the session) for a coordinator that it has lost."""
    def state():
        return [client.rounds if not hasattr(client, "seen") else client.seen for client in clients]

    for client in clients:
        assert client.problem is None, client.problem
    before = state()
    behind = []

    def all_went_on():
        behind[:] = [c.process for c, was, now in zip(clients, before, state()) if now <= was]
        problems = [client.problem for client in clients if client.problem]
        assert not problems, problems
        return not behind

    end = time.monotonic() + limit
    while not all_went_on():
        assert time.monotonic() < end, f"no progress within {limit} s: {behind}"
        time.sleep(0.05)


@pytest.mark.timeout(600 + FAULTS * 3)
def test_a_history_over_faults_has_no_anomaly(make_cluster, tmp_path, monkeypatch):
    print(f"MARTLET_FAULT_SEED={SEED} MARTLET_FAULTS={FAULTS}", flush=True)
    chance = random.Random(SEED)
    cluster = make_cluster(is_proxied=True)
    cluster.allow_error(EXPECTED)
    topic = make_topic(cluster, segment_bytes=200_000)
    path = tmp_path / "clients.jsonl"
    recorder = history.Recorder(path)
    GroupMember.group, NewMember.group = unique("group"), unique("new-group")
    monkeypatch.setattr(Producer, "most_lives", FAULTS)
    monkeypatch.setattr(Producer, "pause", 0.03)
    kinds = [Producer] * 2 + [TransactionalProducer] * 3 + [GroupMember] * 2 + [NewMember] * 2
    kinds += [CommittedReader, UncommittedReader]
    clients = [kind(cluster, topic, recorder, f"{kind.__name__}-{index}", chance.random())
               for index, kind in enumerate(kinds)]
    writers = [client for client in clients if isinstance(client, Producer)]
    transactional = [client for client in clients if isinstance(client, TransactionalProducer)]
    faults = Faults(cluster, [topic, "__consumer_offsets", "__transaction_state"], chance.random())
    administrator = Administrator(cluster, topic, PARTITIONS, chance.random())
    began = time.monotonic()
    pauses = []
    try:
        try:
            wait_for_progress(clients)
            checked = 0
            while sum(faults.counts.values()) < FAULTS:
                pause = chance.uniform(0.1, 0.8) if faults.once() else 0.1
                end = time.monotonic() + pause
                while time.monotonic() < end:
                    time.sleep(0.02)
                    faults.end_due()
                if sum(faults.counts.values()) // ROUND > checked:
                    checked += 1
                    faults.end_all()
                    # A move that begins meanwhile would look like a replica that is not well.
                    with administrator.turn:
                        since = time.monotonic()
                        cluster.wait_until_healthy(60)
                        wait_for_progress(clients)
                        pauses.append(time.monotonic() - since)
                        faults.wipe()
            faults.end_all()
            administrated = administrator.done.copy()
            # What has never come about yet, say a move that was called off in time, is left time for.
            wait_until(lambda: min(administrator.done.values()) > 0, 60, "each of what an administrator does")
            administrator.finish()
            cluster.wait_until_healthy(60)
            wait_for_progress(clients)
        finally:
            if faults.open:
                faults.end_due(everything=True)
            administrator.stopping.set()
            for client in clients:
                client.stopping.set()
        for client in clients:
            client.finish(90)
        recorder.close()
        cluster.wait_until_healthy(60)
        found = judge(cluster, topic, path, tmp_path)
        for node in cluster.nodes:
            node.stop()
        total = compare_replicas(cluster)
    except BaseException:
        print("\n".join(faults.told[-30:]), flush=True)
        print([client.problem for client in clients if client.problem], flush=True)
        raise

    outcomes = sum((client.outcomes for client in transactional), collections.Counter())
    readers = [client for client in clients if hasattr(client, "seen")]
    print(f"{sum(faults.counts.values())} faults {faults.counts} in {time.monotonic() - began:.0f} s; "
          f"well again after {[round(pause, 1) for pause in pauses]} s; "
          f"{sum(client.sent for client in writers)} values, transactions {dict(outcomes)}, "
          f"{sum(reader.seen for reader in readers)} read, lives of writers {[client.lives for client in writers]}, "
          f"{sum(client.times_stuck for client in writers)} times stuck, "
          f"{len(found)} events, {total} batches in each replica; "
          f"administrated {dict(administrated)}, refused {dict(administrator.refused)}")
    assert min(outcomes["committed"], outcomes["aborted"]) > 20
    if FAULTS >= len(KINDS):
        assert min(faults.counts[kind] for kind in KINDS) > 0, faults.counts
        # While faults went on.
        for kind in "replicas", "order", "elected":
            assert sum(count for deed, count in administrated.items() if kind in deed) > 0, administrated


@pytest.mark.timeout(600)
def test_exactly_once_over_faults(make_cluster, tmp_path, monkeypatch):
    """Consume, transform, produce, by workers of two clients, while nodes, etcd and the workers have accidents."""
    print(f"MARTLET_FAULT_SEED={SEED}", flush=True)
    chance = random.Random(SEED)
    cluster = make_cluster(is_proxied=True)
    cluster.allow_error(EXPECTED)
    faults = Faults(cluster, ["__consumer_offsets", "__transaction_state"], chance.random())
    monkeypatch.setattr(Feeder, "most_lives", FAULTS)

    def disturb(slots):
        wait_until(lambda: {"__transaction_state", "__consumer_offsets"} <= cluster.metadata().topics.keys(), 20,
                   "a first transaction")
        while sum(faults.counts.values()) < FAULTS // 4:
            faults.once()
            time.sleep(chance.uniform(0.2, 1))
            if chance.random() < 0.3:
                slot = chance.choice(slots)
                slot.kill()
                slot.start()
            for slot in slots:
                slot.tend()
        faults.end_all()
        cluster.wait_until_healthy(60)

    try:
        transform_while(disturb, cluster, lambda _, count: make_topic(cluster, count), tmp_path / "histories",
                        f"seed {SEED}")
    except BaseException:
        faults.end_due(everything=True)
        print("\n".join(faults.told[-30:]), flush=True)
        raise
    print(f"{sum(faults.counts.values())} faults {faults.counts}")


def is_sent_anew(cluster, anomaly):
    """Whether the copies of a record came from different lives of their producer. librdkafka begins another one (an epoch
    of its producer id) when a partition's numbers are out of step, and sends what it was not answered again in all
    partitions; no broker can know such records again. Copies of one life are the broker's fault."""
    if anomaly["kind"] not in ("duplicate", "misplaced-write"):
        return False
    lives = set()
    for offset in anomaly["offsets"]:
        holders = [batch[4] for node in cluster.nodes
                   for segment in (node.data / f"{anomaly['topic']}-{anomaly['partition']}").glob("*.log")
                   for batch in batches(segment) if batch[0] <= offset < batch[0] + batch[3]]
        if not holders or holders[0][0] < 0:
            return False
        lives.add(holders[0])
    return len(lives) == len(anomaly["offsets"])


def judge(cluster, topic, path, folder):
    """No anomaly in what all clients were told; returns the history."""
    def ends(level):
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": cluster.bootstrap, "group.id": "ends", "isolation.level": level,
             **patience(cluster.bootstrap)})
        try:
            return [consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1]
                    for partition in range(PARTITIONS)]
        finally:
            consumer.close()

    # Every transaction has ended: nothing is hidden from the last read.
    wait_until(lambda: ends("read_committed") == ends("read_uncommitted"), 70, "the end of all transactions", 0.5)
    found = history.events([path]) + final_read(cluster, topic)
    for group in (GroupMember.group, NewMember.group):
        committed = committed_offsets(cluster, group, topic, PARTITIONS)
        found += [{"type": "offset-fetch", "process": "final", "group": group, "final": True,
                   **history.place(topic, partition), **({} if offset is None else {"offset": offset})}
                  for partition, offset in committed.items()]
    anomalies = [anomaly for anomaly in history.check(folder, found) if not is_sent_anew(cluster, anomaly)]
    kinds = collections.Counter(anomaly["kind"] for anomaly in anomalies)
    assert anomalies == [], f"{kinds}: {json.dumps(anomalies[:5], indent=1)}"
    return found


def test_a_seed_gives_the_same_faults(tmp_path):
    """What can happen is up to the moment; what is drawn is not. Each kind happens, also where most cannot."""
    class Noted(Faults):
        """Those of a cluster that nobody harms."""

        def _draw(self):
            self.drawn.append(super()._draw())
            return self.drawn[-1]

        def _begin(self, fault):
            pass

        def _end(self, fault):
            pass

    def nobody():
        raise AssertionError("no node answers")

    def faults_from(seed, overlap):
        cluster = SimpleNamespace(folder=tmp_path, nodes=[SimpleNamespace(id=n) for n in (1, 2, 3)], metadata=nobody)
        faults = Noted(cluster, ["a", "b"], seed)
        faults.drawn = []
        while sum(faults.counts.values()) < 40:
            if not faults.once() or not overlap:
                faults.end_due(everything=True)
        return faults

    alone, overlapping = faults_from(7, False), faults_from(7, True)
    assert len(overlapping.drawn) > len(alone.drawn), "some could not happen"
    assert overlapping.drawn[:len(alone.drawn)] == alone.drawn
    for faults in alone, overlapping:
        assert min(faults.counts[kind] for kind in KINDS) > 0, faults.counts
    assert faults_from(8, False).drawn != alone.drawn


def test_copies_of_one_life_are_no_excuse(tmp_path):
    """Two batches of a producer at offsets 0 and 1, and what is said of them."""
    def log(*producers):
        folder = tmp_path / "t-0"
        folder.mkdir(exist_ok=True)
        (folder / "0.log").write_bytes(b"".join(
            struct.pack(">qiibIhiqqqhii", offset, 49, 0, 2, 0, 0, 0, 0, 0, producer, epoch, 0, 1)
            for offset, (producer, epoch) in enumerate(producers)))

    cluster = SimpleNamespace(nodes=[SimpleNamespace(data=tmp_path)])
    for producers, is_excused in [([(7, 0), (7, 1)], True), ([(7, 0), (8, 0)], True), ([(7, 0), (7, 0)], False),
                                  ([(-1, -1), (-1, -1)], False), ([(7, 0)], False)]:
        log(*producers)
        for kind in "duplicate", "misplaced-write":
            anomaly = {"kind": kind, "topic": "t", "partition": 0, "offsets": [0, 1]}
            assert is_sent_anew(cluster, anomaly) == is_excused, producers
        assert not is_sent_anew(cluster, {**anomaly, "kind": "lost-write"})


def test_the_verdict_notices_what_is_planted(tmp_path):
    """The judge of the run above is no judge if it finds nothing in a history that lies."""
    def send(value, offset, outcome="acknowledged", **fields):
        return {"type": "send", "process": "p", "time": [offset * 10, offset * 10 + 5], "value": value,
                "outcome": outcome, "offset": offset, **history.place("t", 0), **fields}

    def read(*records):
        return {"type": "final-read", "process": "final", **history.place("t", 0),
                "records": [{"offset": offset, "value": value} for offset, value in records]}

    sent = [send("a", 0), send("b", 1), send("c", 2)]
    assert history.check(tmp_path, sent + [read((0, "a"), (1, "b"), (2, "c"))]) == []
    for expected, last in [("lost-write", read((0, "a"), (2, "c"))),
                           ("duplicate", read((0, "a"), (1, "b"), (2, "c"), (3, "b"))),
                           ("reordered-writes", read((0, "b"), (1, "a"), (2, "c")))]:
        kinds = {anomaly["kind"] for anomaly in history.check(tmp_path, sent + [last])}
        assert expected in kinds, (expected, kinds)
