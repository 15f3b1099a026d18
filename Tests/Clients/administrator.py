"""An administrator who moves replicas and elects leaders all the time, whatever else happens to the cluster."""

import collections
import random
import threading

import confluent_kafka
import kafka
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient

from harness import wait_until
from transactional import QUIET

# How long a client waits for one answer, seconds. The cluster may be unable to give any.
PATIENCE = 3


class Administrator(threading.Thread):
    """Reassigns partitions of a topic to other orders of their replicas, to two of them and back to all, takes some of
    that back while it is under way, and elects preferred leaders. What cannot be done just now is counted and left."""

    def __init__(self, cluster, topic, partitions, seed):
        super().__init__(daemon=True)
        self.cluster, self.topic, self.partitions = cluster, topic, partitions
        self.chance = random.Random(seed)
        self.everybody = [node.id for node in cluster.nodes]
        # What each partition was told to have. Whether it heard of it is not always known.
        self.wanted = {partition: self.everybody for partition in range(partitions)}
        self.python, self.confluent = None, None
        self.done = collections.Counter(dict.fromkeys(
            ["another order", "two replicas", "all replicas", "cancelled", "elected by confluent-kafka",
             "elected by kafka-python"], 0))
        self.refused = collections.Counter()
        # Held while something is done: who takes it has a cluster in which nobody begins anything.
        self.turn = threading.Lock()
        self.stopping = threading.Event()
        self.problem = None
        self.start()

    def run(self):
        try:
            while not self.stopping.wait(self.chance.uniform(0.1, 0.4)):
                with self.turn:
                    self.once()
        except Exception as error:
            self.problem = repr(error)

    def once(self):
        deed = self.chance.choice([self.reassign, self.reassign, self.elect_with_confluent, self.elect_with_python])
        try:
            self.connect()
            deed()
        except (kafka.errors.KafkaError, confluent_kafka.KafkaException, OSError, RuntimeError) as error:
            # A RuntimeError is kafka-python's for a cluster without a controller. One who has lost it begins anew.
            self.refuse(error)
            self.leave()

    def refuse(self, error):
        self.refused[error.args[0].name() if isinstance(error, confluent_kafka.KafkaException)
                     else type(error).__name__] += 1

    # Its clients

    def connect(self):
        if self.python is None:
            self.python = kafka.KafkaAdminClient(
                bootstrap_servers=self.cluster.bootstrap.split(","), request_timeout_ms=PATIENCE * 1000,
                bootstrap_timeout_ms=PATIENCE * 1000, reconnect_backoff_ms=10, reconnect_backoff_max_ms=50)
        if self.confluent is None:
            # Its call takes no time-out of its own: confluent-kafka fails over the argument.
            self.confluent = AdminClient(
                {"bootstrap.servers": self.cluster.bootstrap, "socket.timeout.ms": PATIENCE * 1000, **QUIET})

    def leave(self):
        python, self.python, self.confluent = self.python, None, None
        if python is not None:
            python.close()

    # What it does

    def reassign(self):
        partition = self.chance.randrange(self.partitions)
        target = self.chance.sample(self.everybody, len(self.everybody))
        is_taken_back = self.chance.random() < 0.5
        if len(self.wanted[partition]) < len(self.everybody):
            if self.ask("all replicas", partition, target) and is_taken_back:
                # A replica that joins takes a moment, during which it can be called off.
                if self.ask("cancelled", partition, None):
                    return
        elif self.chance.random() < 0.4:
            target = target[:2]
            self.ask("two replicas", partition, target)
        else:
            self.ask("another order", partition, target)
        self.wanted[partition] = target

    def ask(self, what, partition, target):
        place = kafka.TopicPartition(self.topic, partition)
        error = self.python.alter_partition_reassignments({place: target}, timeout_ms=PATIENCE * 1000)[place]
        if error is None:
            self.done[what] += 1
        else:
            self.refused[error.__name__] += 1
        return error is None

    def elect_with_confluent(self):
        places = [TopicPartition(self.topic, partition) for partition in range(self.partitions)]
        results = self.confluent.elect_leaders(ElectionType.PREFERRED, places).result(2 * PATIENCE)
        for error in results.values():
            if error is None:
                self.done["elected by confluent-kafka"] += 1
            else:
                self.refused[error.name()] += 1

    def elect_with_python(self):
        reply = self.python.elect_leaders(
            0, {self.topic: list(range(self.partitions))}, timeout_ms=PATIENCE * 1000, raise_errors=False)
        for result in reply.replica_election_results:
            for partition in result.partition_result:
                error = kafka.errors.for_code(partition.error_code)
                if error is kafka.errors.NoError:
                    self.done["elected by kafka-python"] += 1
                else:
                    self.refused[error.__name__] += 1

    # Its end

    def finish(self):
        """Ends it. The cluster is well: each partition gets all replicas back."""
        self.stopping.set()
        self.join(60)
        assert not self.is_alive(), "the administrator does not end"
        assert self.problem is None, self.problem
        wait_until(self.is_whole, 60, f"all replicas of {self.topic}", 0.2)
        self.leave()

    def is_whole(self):
        """Whether all partitions have all replicas and none moves; else they are told to, again."""
        try:
            self.connect()
            moving = {place.partition for place in self.python.list_partition_reassignments()}
            partitions = self.cluster.metadata().topics[self.topic]
            lacking = [index for index, partition in enumerate(partitions)
                       if index in moving or sorted(partition.replicas) != self.everybody]
            for partition in lacking:
                self.ask("all replicas", partition, self.everybody)
            return not lacking
        except (kafka.errors.KafkaError, OSError, RuntimeError) as error:
            self.refuse(error)
            self.leave()
            return False
