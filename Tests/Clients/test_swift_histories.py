"""Kills and faults under a load of Swift clients, judged by what all of them were told: check-history on their history.

MARTLET_SWIFT_FAULTS is how many faults happen to the cluster, MARTLET_FAULT_SEED repeats a schedule."""

import collections
import json
import os
import random
import time

import confluent_kafka
import pytest

import history
from faults import Faults
from harness import unique, wait_until
from history_clients import PARTITIONS, final_read, is_inside, plants
from swift_client import SwiftLoad, command
from test_cluster_faults import EXPECTED, compare_replicas, make_topic as make_replicated_topic
from transactional import committed_offsets
from transformation import Feeder, WorkerSlot, transform_while

KILLS = 15
FAULTS = int(os.environ.get("MARTLET_SWIFT_FAULTS", "15"))
SEED = int(os.environ.get("MARTLET_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))

SETTINGS = {"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4",
            "group.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": "4000",
            "group.consumer.heartbeat.interval.ms": "300"}


def make_load(folder, bootstrap, topic, members=2):
    """Of all kinds; returns the groups' names, too."""
    groups = {kind: unique(kind) for kind in ("range", "cooperative-sticky", "consumer", "auto")}
    options = [f"{kind}:{groups[kind]}:{members}" for kind in ("range", "cooperative-sticky", "consumer")]
    load = SwiftLoad(folder, bootstrap, topic, PARTITIONS, seed=SEED, producers=2, transactional=3, readers=2,
                     pause=20, group=[*options, f"consumer:{groups['auto']}:1:auto"])
    return load, groups


def judge(place, load, groups, topic, folder):
    """When the writers have ended: each group has been given everything, and nothing contradicts anything."""
    wait_until(lambda: has_no_open_transaction(place, topic), 70, "the end of all transactions", 0.2)
    reads = final_read(place, topic)
    load.wait_for_groups(sum(len(read["records"]) for read in reads))
    load.finish()
    found = history.events([load.history]) + reads
    for group in groups.values():
        for partition, offset in committed_offsets(place, group, topic, PARTITIONS).items():
            found.append({"type": "offset-fetch", "process": "final", "group": group, "final": True,
                          **history.place(topic, partition), **({} if offset is None else {"offset": offset})})
    anomalies = history.check(folder, found)
    kinds = collections.Counter(anomaly["kind"] for anomaly in anomalies)
    assert anomalies == [], f"seed {SEED}, {kinds}: {json.dumps(anomalies[:5], indent=1)}"
    for kind, planted in [*plants(found)[:3], ("skipped-poll", skip(found))]:
        kinds = {anomaly["kind"] for anomaly in history.check(folder, planted)}
        assert kind in kinds, f"a planted {kind} was not noticed: {kinds}"
    return found


def skip(found):
    """Without the largest poll of those that a consumer made between two others."""
    polls = [event for event in found if event["type"] == "poll" and event["isolation"] == "read_committed"
             and len({record["partition"] for record in event["records"]}) == 1 and is_inside(found, event)]
    largest = max(polls, key=lambda event: len(event["records"]))
    return [event for event in found if event is not largest]


def has_no_open_transaction(place, topic):
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": place.bootstrap, "group.id": "ends", "isolation.level": level})
        try:
            ends.append([consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, p), timeout=20)[1]
                         for p in range(PARTITIONS)])
        finally:
            consumer.close()
    return ends[0] == ends[1]


def tell(load, found, began, pauses):
    print(f"{load.total('sent')} values, {load.total('committed', 'transactional')} transactions committed, "
          f"{load.total('aborted')} aborted, {load.total('refused', 'transactional')} aborted by faults, "
          f"{load.total('committed') - load.total('committed', 'transactional')} commits of groups and "
          f"{load.total('refused') - load.total('refused', 'transactional')} refused, {load.total('seen')} read, "
          f"{len(found)} events, {time.monotonic() - began:.0f} s; got on after at most {max(pauses):.1f} s, "
          f"{sum(pauses) / len(pauses):.1f} s on average")


@pytest.mark.timeout(180)
def test_a_history_of_swift_clients_over_kills_has_no_anomaly(make_broker, make_topic, tmp_path):
    """Idempotent and transactional producers, groups of both protocols whose members come and go, and kills of the
    broker: no delivery fails, no reader is told of an error, everybody gets on after each kill, each group is given
    every record, and nothing that any of them was told contradicts the rest."""
    print(f"MARTLET_FAULT_SEED={SEED}")
    chance = random.Random(SEED)
    broker = make_broker(SETTINGS)
    topic = make_topic(broker, PARTITIONS, segment_bytes=100_000)
    began = time.monotonic()
    load, groups = make_load(tmp_path, broker.bootstrap, topic)
    pauses = []
    try:
        load.wait_for_progress()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.6))
            broker.kill_and_start()
            since = time.monotonic()
            load.wait_for_progress(kinds=("producer", "transactional", "reader"))
            pauses.append(time.monotonic() - since)
        load.wait_for_progress()
        load.end_writers()
        found = judge(broker, load, groups, topic, tmp_path)
    finally:
        load.kill()
    tell(load, found, began, pauses)
    assert min(load.total("committed", "transactional"), load.total("aborted")) > 20


@pytest.mark.timeout(240 + FAULTS * 4)
def test_a_history_of_swift_clients_over_faults_of_a_cluster_has_no_anomaly(make_cluster, tmp_path):
    """The same while nodes die, freeze, stop, come back and cannot reach each other."""
    print(f"MARTLET_FAULT_SEED={SEED} MARTLET_SWIFT_FAULTS={FAULTS}", flush=True)
    chance = random.Random(SEED)
    cluster = make_cluster(is_proxied=True)
    cluster.allow_error(EXPECTED)
    topic = make_replicated_topic(cluster, segment_bytes=200_000)
    faults = Faults(cluster, [topic, "__consumer_offsets", "__transaction_state"], chance.random())
    began = time.monotonic()
    load, groups = make_load(tmp_path, cluster.bootstrap, topic)
    pauses = []
    try:
        load.wait_for_progress()
        while (count := sum(faults.counts.values())) < FAULTS:
            pause = chance.uniform(0.1, 0.8) if faults.once() else 0.1
            end = time.monotonic() + pause
            while time.monotonic() < end:
                time.sleep(0.02)
                faults.end_due()
                load.check()
            if sum(faults.counts.values()) > count and sum(faults.counts.values()) % 5 == 0:
                faults.end_all()
                since = time.monotonic()
                cluster.wait_until_healthy(60)
                load.wait_for_progress(60)
                pauses.append(time.monotonic() - since)
        load.end_writers(60)
        found = judge(cluster, load, groups, topic, tmp_path)
        for node in cluster.nodes:
            node.stop()
        compare_replicas(cluster)
    except BaseException:
        print("\n".join(faults.told[-30:]), flush=True)
        raise
    finally:
        if faults.open:
            faults.end_due(everything=True)
        load.kill()
    print(f"{sum(faults.counts.values())} faults { {kind: n for kind, n in faults.counts.items() if n} }")
    tell(load, found, began, pauses)


class SwiftWorkerSlot(WorkerSlot):
    # With the consumer protocol, the coordinator refuses a static member's next process until the killed one's session is
    # over, and the clients give up then, as Kafka's do: it is started again and again.
    suffixes = {"range": ("dynamic", "static"), "cooperative-sticky": ("dynamic", "static"),
                "consumer": ("dynamic", "static")}

    def command(self, number, path):
        bootstrap, source, sink, group, transactional_id = self.arguments
        return command("transform", bootstrap, source=source, sink=sink, group=group, id=transactional_id,
                       protocol=self.client, number=number, history=path)


def has_committed(slot):
    return any('"transaction-end"' in path.read_text() for path in slot.histories)


@pytest.mark.timeout(200)
def test_exactly_once_by_swift_workers_over_kills(make_broker, make_topic, tmp_path):
    """Two workers of each protocol transform numbered inputs while the broker and they themselves are killed; each
    input has exactly one output."""
    print(f"MARTLET_FAULT_SEED={SEED}")
    chance = random.Random(SEED)
    broker = make_broker(SETTINGS)

    def disturb(slots):
        wait_until(lambda: all(has_committed(slot) for slot in slots), 30, "a first transaction of each")
        events = ["broker"] * 6 + ["worker"] * 9
        chance.shuffle(events)
        for event in events:
            time.sleep(chance.uniform(0.05, 1))
            if event == "broker":
                broker.kill_and_start()
            else:
                slot = chance.choice(slots)
                slot.kill()
                slot.start()
            for slot in slots:
                slot.tend()

    transform_while(disturb, broker, make_topic, tmp_path / "histories", f"seed {SEED}", SwiftWorkerSlot, least=30)


@pytest.mark.timeout(300)
def test_exactly_once_by_swift_workers_over_faults_of_a_cluster(make_cluster, tmp_path, monkeypatch):
    print(f"MARTLET_FAULT_SEED={SEED} MARTLET_SWIFT_FAULTS={FAULTS}", flush=True)
    chance = random.Random(SEED)
    cluster = make_cluster(is_proxied=True)
    cluster.allow_error(EXPECTED)
    faults = Faults(cluster, ["__consumer_offsets", "__transaction_state"], chance.random())
    monkeypatch.setattr(Feeder, "most_lives", FAULTS + 10)

    def disturb(slots):
        wait_until(lambda: {"__transaction_state", "__consumer_offsets"} <= cluster.metadata().topics.keys(), 20,
                   "a first transaction")
        wait_until(lambda: all(has_committed(slot) for slot in slots), 30, "a first transaction of each")
        while sum(faults.counts.values()) < FAULTS // 2:
            faults.once()
            time.sleep(chance.uniform(0.2, 0.8))
            for slot in slots:
                slot.tend()
        faults.end_all()
        cluster.wait_until_healthy(60)

    try:
        transform_while(disturb, cluster, lambda _, count: make_replicated_topic(cluster, count),
                        tmp_path / "histories", f"seed {SEED}", SwiftWorkerSlot, least=30)
    except BaseException:
        faults.end_due(everything=True)
        print("\n".join(faults.told[-30:]), flush=True)
        raise
    print(f"{sum(faults.counts.values())} faults { {kind: n for kind, n in faults.counts.items() if n} }")
