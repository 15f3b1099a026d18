"""Broker CPU for each record with and without transactions, in one run: the same producer, once idempotent and once with a
transaction every 100 ms, alternating. Started by scripts/benchmark-transactions."""

import argparse
import os
import statistics
import time

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

VALUE = b"x" * 100
TRANSACTION_SECONDS = 0.1


def broker_cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def producer(bootstrap, transactional_id=None):
    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
                "queue.buffering.max.messages": 500_000}
    if transactional_id:
        settings["transactional.id"] = transactional_id
    client = confluent_kafka.Producer(settings)
    if transactional_id:
        client.init_transactions(30)
    return client


def produce_until(client, topic, end):
    count = 0
    while time.monotonic() < end:
        for _ in range(500):
            try:
                client.produce(topic, VALUE)
                count += 1
            except BufferError:
                client.poll(0.01)
        client.poll(0)
    return count


def run(client, topic, seconds, is_transactional):
    end = time.monotonic() + seconds
    if not is_transactional:
        count = produce_until(client, topic, end)
        assert client.flush(60) == 0
        return count, 0
    count = transactions = 0
    while time.monotonic() < end:
        client.begin_transaction()
        count += produce_until(client, topic, time.monotonic() + TRANSACTION_SECONDS)
        client.commit_transaction(60)
        transactions += 1
    return count, transactions


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()

    admin = AdminClient({"bootstrap.servers": options.bootstrap})
    admin.create_topics([NewTopic("t", 4, 1)])["t"].result(20)
    plain, transactional = producer(options.bootstrap), producer(options.bootstrap, "benchmark")
    ratios = []
    print(f"{'round':>5} {'plain ns/record':>16} {'in transactions':>16} {'ratio':>6} {'transactions/s':>15}")
    for number in range(options.rounds + 1):
        costs = []
        for client in (plain, transactional):
            before = broker_cpu_seconds(options.pid)
            count, transactions = run(client, "t", options.seconds, client is transactional)
            costs.append((broker_cpu_seconds(options.pid) - before) * 1e9 / count)
        if number == 0:
            continue  # The first warms up.
        ratios.append(costs[1] / costs[0])
        print(f"{number:>5} {costs[0]:>16.0f} {costs[1]:>16.0f} {ratios[-1]:>6.2f} "
              f"{transactions / options.seconds:>15.1f}")
    print(f"median ratio {statistics.median(ratios):.2f}; the limit is 1.15")


if __name__ == "__main__":
    main()
