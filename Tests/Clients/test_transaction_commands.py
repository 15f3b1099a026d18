"""martlet transactions: what an administrator sees of transactions, and ends."""

import json
import struct
import subprocess
import time

import pytest

import wire
from clients import Message, produce
from harness import BINARY, unique, wait_until
from transactional import TRANSACTIONS, values

TRANSACTIONAL = 1 << 4


@pytest.fixture
def broker(make_broker):
    return make_broker({"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4"})


def run(broker, *arguments, check=True):
    """What the command printed, from JSON; or what it complained of when it must fail."""
    result = subprocess.run(
        [BINARY, "transactions", *arguments, "--json", "-b", broker.bootstrap], capture_output=True, timeout=30,
        text=True, check=False)
    assert (result.returncode == 0) == check, result.stderr
    return json.loads(result.stdout) if check else result.stderr


def describe_producers(broker, topic, partition=0):
    return run(broker, "describe-producers", "--topic", topic, "--partition", f"{partition}")


def test_a_transaction_from_its_beginning_to_its_end(broker, make_topic):
    """list, describe and describe-producers follow a producer from nothing over an open transaction to its commit."""
    topic, name = make_topic(broker, 2), unique("id")
    assert run(broker, "list") == []
    assert "transactional" in run(broker, "describe", name, check=False).lower()
    assert describe_producers(broker, topic) == []
    producer = TRANSACTIONS["confluent"](broker.bootstrap, name, timeout=25)
    listed, = run(broker, "list")
    assert (listed["transactionalId"], listed["state"], listed["coordinator"]) == (name, "Empty", 1)

    produce("confluent", broker.bootstrap, topic, [Message(None, b"before", [], 1)])
    producer.begin()
    producer.send(topic, 0, "a")
    producer.send(topic, 1, "b")
    producer.flush()
    described = run(broker, "describe", name)
    assert described["state"] == "Ongoing" and described["timeoutMilliseconds"] == 25_000
    assert described["producerId"] == listed["producerId"]
    assert abs(described["startTime"] / 1000 - time.time()) < 30
    assert sorted(p["partition"] for p in described["partitions"]) == [0, 1]
    assert {p["topic"] for p in described["partitions"]} == {topic}
    row, = [r for r in describe_producers(broker, topic) if r["producerId"] == listed["producerId"]]
    assert row["transactionStart"] == 1 and row["producerEpoch"] == described["producerEpoch"]
    assert [r["transactionalId"] for r in run(broker, "list", "--state", "Ongoing")] == [name]
    assert run(broker, "list", "--state", "CompleteCommit") == []
    assert run(broker, "list", "--longer-than", "PT1H") == []
    assert run(broker, "list", "--producer-id", "999999") == []

    producer.commit()
    wait_until(lambda: run(broker, "describe", name)["state"] == "CompleteCommit", 5, "the end")
    row, = [r for r in describe_producers(broker, topic) if r["producerId"] == listed["producerId"]]
    assert row["transactionStart"] is None
    producer.close()


def test_a_living_transaction_does_not_hang_but_can_be_aborted(broker, make_topic):
    """find-hanging names no transaction that its coordinator will end, however old; abort ends it all the same, only
    at the offset where it begins."""
    topic = make_topic(broker)
    producer = TRANSACTIONS["confluent"](broker.bootstrap, unique("id"))
    producer.begin()
    producer.send(topic, 0, "open")
    producer.flush()
    time.sleep(1.1)
    assert run(broker, "find-hanging", "--max-transaction-timeout", "PT1S") == []
    here = ("--topic", topic, "--partition", "0")
    assert "begin at 0" in run(broker, "abort", *here, "--start-offset", "5", check=False)
    assert values("confluent", broker.bootstrap, topic, 1, committed=False) == {0: ["open"]}
    assert run(broker, "abort", *here, "--start-offset", "0")["transactionStart"] == 0
    produce("confluent", broker.bootstrap, topic, [Message(None, b"behind", [], 1)])
    assert values("confluent", broker.bootstrap, topic, 1) == {0: ["behind"]}
    assert "none is open" in run(broker, "abort", *here, "--start-offset", "0", check=False)
    producer.close()


@pytest.mark.parametrize("is_known", [False, True], ids=["unknown producer", "other transaction of the producer"])
def test_a_hanging_transaction_is_found_and_aborted(broker, make_topic, is_known):
    """A transactional batch in a log that no coordinator knows of, as older brokers could leave: written into the file
    while the broker is down, because the broker takes none. It stops readers, over restarts too, until it is found
    and aborted."""
    topic = make_topic(broker)
    produce("confluent", broker.bootstrap, topic, [Message(None, b"before", [], 1)])
    producer_id, epoch = 4711, 0
    if is_known:
        other = make_topic(broker)
        name = unique("id")
        producer = TRANSACTIONS["confluent"](broker.bootstrap, name)
        producer.begin()
        producer.send(other, 0, "elsewhere")
        producer.commit()
        described = run(broker, "describe", name)
        producer_id, epoch = described["producerId"], described["producerEpoch"]
        producer.close()
    broker.kill()
    hanging = wire.batch(wire.record(b"hanging"), attributes=TRANSACTIONAL, producer=(producer_id, epoch, 0))
    # The offset and the leader epoch, which are the broker's to fill in.
    hanging = struct.pack(">q", 1) + hanging[8:12] + struct.pack(">i", 0) + hanging[16:]
    log, = (broker.data / f"{topic}-0").glob("*.log")
    append(log, hanging)
    broker.start()
    produce("confluent", broker.bootstrap, topic, [Message(None, b"behind", [], 1)])
    assert values("confluent", broker.bootstrap, topic, 1) == {0: ["before"]}
    assert values("confluent", broker.bootstrap, topic, 1, committed=False) == {0: ["before", "hanging", "behind"]}

    broker.restart()
    assert values("confluent", broker.bootstrap, topic, 1) == {0: ["before"]}
    found, = run(broker, "find-hanging", "--max-transaction-timeout", "PT1S")
    assert (found["topic"], found["partition"], found["producerId"]) == (topic, 0, producer_id)
    assert found["transactionStart"] == 1
    assert run(broker, "find-hanging", "--topic", topic) == [found]
    run(broker, "abort", "--topic", topic, "--partition", "0", "--start-offset", "1")
    assert values("confluent", broker.bootstrap, topic, 1) == {0: ["before", "behind"]}
    assert run(broker, "find-hanging", "--max-transaction-timeout", "PT1S") == []
    broker.restart()
    assert values("confluent", broker.bootstrap, topic, 1) == {0: ["before", "behind"]}


def append(log, batch):
    """Behind the last batch: the file may be longer than its batches."""
    data = log.read_bytes()
    end = 0
    while end + 12 <= len(data) and (length := struct.unpack_from(">i", data, end + 8)[0]) > 0:
        end += 12 + length
    with open(log, "r+b") as file:
        file.seek(end)
        file.write(batch)
