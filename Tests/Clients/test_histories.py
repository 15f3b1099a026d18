"""Kills under a mixed load, judged by what all clients were told: check-history on their history."""

import collections
import json
import random
import time

import pytest

import history
from harness import unique, wait_until
from history_clients import PARTITIONS, GroupMember, Producer, TransactionalProducer, final_read, plants
from transactional import committed_offsets

KILLS = 8

SETTINGS = {"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4",
            "group.min.session.timeout.ms": "1000"}


@pytest.mark.timeout(120)
def test_a_history_over_kills_has_no_anomaly(make_broker, make_topic, tmp_path):
    """Two idempotent and three transactional producers, transactions of random outcome, three read_committed members
    of a group that come and go, and eight kills of the broker: nothing that any of them was told contradicts what
    others were told or what is read in the end."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    broker = make_broker(SETTINGS)
    topic = make_topic(broker, PARTITIONS, segment_bytes=100_000)
    path = tmp_path / "clients.jsonl"
    recorder = history.Recorder(path)
    GroupMember.group = unique("group")
    kinds = [Producer] * 2 + [TransactionalProducer] * 3 + [GroupMember] * 3
    clients = [kind(broker, topic, recorder, f"{kind.__name__}-{index}", chance.random())
               for index, kind in enumerate(kinds)]
    transactional = [client for client in clients if isinstance(client, TransactionalProducer)]
    members = [client for client in clients if isinstance(client, GroupMember)]
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 2))
            broker.kill_and_start()
            before = [client.rounds for client in transactional]
            wait_until(lambda: all(c.rounds > b for c, b in zip(transactional, before)), 30,
                       f"progress: {[c.problem for c in clients]}")
        seen = sum(member.seen for member in members)
        wait_until(lambda: sum(member.seen for member in members) > seen, 30, "readers that read again")
    finally:
        for client in clients:
            client.finish()
    recorder.close()

    found = history.events([path]) + final_read(broker, topic)
    committed = committed_offsets(broker, GroupMember.group, topic, PARTITIONS)
    found += [{"type": "offset-fetch", "process": "final", "group": GroupMember.group, "final": True,
               **history.place(topic, partition), **({} if offset is None else {"offset": offset})}
              for partition, offset in committed.items()]
    anomalies = history.check(tmp_path, found)
    assert anomalies == [], f"seed {seed}: {json.dumps(anomalies[:5], indent=1)}"

    outcomes = sum((client.outcomes for client in transactional), collections.Counter())
    sent = sum(client.sent for client in clients if isinstance(client, Producer))
    print(f"{sent} values, transactions {dict(outcomes)}, {sum(member.seen for member in members)} read, "
          f"{sum(member.lives for member in members)} lives of members, {len(found)} events")
    assert min(outcomes["committed"], outcomes["aborted"]) > 20 and sum(member.seen for member in members) > 100
    for kind, planted in plants(found):
        kinds = {anomaly["kind"] for anomaly in history.check(tmp_path, planted)}
        assert kind in kinds, f"a planted {kind} was not noticed: {kinds}"
