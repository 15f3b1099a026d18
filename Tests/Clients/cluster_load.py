"""A producer and a reader that go on while something happens to the cluster."""

import threading
import time

import confluent_kafka
from confluent_kafka import TopicPartition

from harness import unique, wait_until
from transactional import QUIET, patience


class Load:
    """One idempotent producer and one reader, all the time. When each record was acknowledged is known."""

    def __init__(self, cluster, topic, partitions=1, **options):
        self.topic, self.partitions = topic, partitions
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True, "linger.ms": 1,
             **patience(cluster.bootstrap), **QUIET, **options})
        self.consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": cluster.bootstrap, "group.id": unique("load"), "enable.auto.commit": False,
             "fetch.wait.max.ms": 50, **patience(cluster.bootstrap), **QUIET, **options})
        self.consumer.assign(
            [TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in range(partitions)])
        self.sent, self.acknowledged, self.errors, self.read = 0, [], [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._produce, self._consume)]
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.read) > 10, 20, "a first read")

    def _produce(self):
        while not self.stopping.is_set():
            self.producer.produce(
                self.topic, str(self.sent), partition=self.sent % self.partitions, on_delivery=self._delivered)
            self.sent += 1
            self.producer.poll(0)
            time.sleep(0.005)
        self.producer.flush(30)

    def _delivered(self, error, _):
        if error:
            self.errors.append(error)
        else:
            self.acknowledged.append(time.monotonic())

    def _consume(self):
        while not self.stopping.is_set() or len(self.read) < self.sent and time.monotonic() < self.limit:
            for message in self.consumer.consume(100, 0.05):
                if message.error():
                    continue  # Its broker is away; the client finds the next.
                self.read.append((message.partition(), int(message.value())))

    def first_after(self, moment, limit=20):
        """Seconds until the first acknowledgement behind a moment."""
        wait_until(lambda: self.acknowledged[-1] > moment, limit, "an acknowledgement")
        return min(at for at in self.acknowledged if at > moment) - moment

    def longest_pause(self, since):
        times = [at for at in self.acknowledged if at > since]
        return max(b - a for a, b in zip([since] + times, times))

    def finish(self):
        """All that was sent was acknowledged and read once, in order."""
        self.limit = time.monotonic() + 30
        self.stopping.set()
        for thread in self.threads:
            thread.join(40)
            assert not thread.is_alive()
        self.consumer.close()
        assert self.errors == []
        assert len(self.acknowledged) == self.sent
        for partition in range(self.partitions):
            found = [number for place, number in self.read if place == partition]
            assert found == list(range(partition, self.sent, self.partitions))
