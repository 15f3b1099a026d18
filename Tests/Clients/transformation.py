"""Consume, transform, produce, in processes of their own, and the verdict on it."""

import collections
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time

import confluent_kafka
from confluent_kafka import TopicPartition

import history
from harness import unique, wait_until
from transactional import QUIET, committed_offsets, patience, read_to_end

PARTITIONS = 4
# How a worker ends whose client can do no more: it says so, or it hangs.
GAVE_UP = (3, -signal.SIGALRM)


class Feeder:
    """A thread that produces numbered inputs, idempotently."""

    # How often it may give up and begin anew.
    most_lives = 20

    def __init__(self, broker, topic, path):
        self.broker, self.topic = broker, topic
        self.recorder = history.Recorder(path)
        self.problems = []
        self.sent = self.acknowledged = self.lives = 0
        self.stopping = threading.Event()
        self._begin()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _begin(self):
        self.lives += 1
        assert self.lives <= self.most_lives, "the client gives up more often than it is disturbed"
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.broker.bootstrap, "enable.idempotence": True, "linger.ms": 2,
             "message.timeout.ms": 90_000, **patience(self.broker.bootstrap), **QUIET})

    def _run(self):
        while not self.stopping.is_set():
            try:
                self._send()
            except confluent_kafka.KafkaException as error:
                # A kill now and then makes librdkafka send records that may be in the log again in batches of another
                # size. Kafka refuses that too, and the client takes it for fatal.
                if error.args[0].code() != confluent_kafka.KafkaError._FATAL:
                    raise
                self._begin()
            time.sleep(0.025)
        if self.producer.flush(60) != 0:
            self.problems.append("not all inputs could be sent")

    def _send(self):
        for _ in range(5):
            partition, value = self.sent % PARTITIONS, f"input-{self.sent}"
            number = self.recorder.ask(
                "send", f"feeder.{self.lives}", value=value, **history.place(self.topic, partition))
            self.sent += 1
            self.producer.produce(self.topic, value, partition=partition, on_delivery=self._delivery(number))
        self.producer.poll(0)

    def _delivery(self, number):
        def delivered(error, message):
            if not error:
                self.acknowledged += 1
                self.recorder.answered(number, "acknowledged", offset=message.offset())
            elif error.code() == confluent_kafka.KafkaError._MSG_TIMED_OUT:
                self.problems.append(str(error))
            # Else the client has given up, and what it was not answered stays unknown.
        return delivered

    def finish(self):
        self.stopping.set()
        self.thread.join(90)
        assert self.problems == []


class WorkerSlot:
    """One transactional id and the processes that have it, one after the other."""

    suffixes = {"confluent": ("dynamic", "static"), "aiokafka": ("a", "b")}

    numbers = iter(range(1, 1_000_000))

    def __init__(self, folder, client, broker, source, sink, group, transactional_id, partitions):
        self.folder = pathlib.Path(folder)
        self.client, self.group, self.sink = client, group, sink
        self.arguments = [broker.bootstrap, source, sink, group, transactional_id]
        self.partitions = ",".join(map(str, partitions))
        self.histories = []
        self.gave_up = 0
        self.start()

    def start(self):
        number = next(self.numbers)
        path = self.folder / f"worker-{number}.jsonl"
        path.touch()  # It may be killed before it opens it.
        self.histories.append(path)
        self.errors = self.folder / f"worker-{number}.err"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                self.command(number, path), stdout=subprocess.DEVNULL, stderr=errors)

    def command(self, number, path):
        script = pathlib.Path(__file__).with_name("transform_worker.py")
        return [sys.executable, str(script), self.client, *self.arguments, str(number), str(path), self.partitions]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def tend(self):
        """Starts another worker when this one had to give up; ends the test when it failed otherwise."""
        code = self.process.poll()
        if code is None:
            return
        assert code in GAVE_UP, f"worker ended with {code}: {self.complaints()}"
        self.gave_up += 1
        self.start()

    def complaints(self):
        text = self.errors.read_text()
        return text if len(text) < 6000 else f"{text[:3000]}\n...\n{text[-3000:]}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            # Several of the clients' own time-outs, one after the other.
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGUSR1)  # It tells where it is.
            time.sleep(0.5)
            self.kill()
            raise AssertionError(f"a worker did not end: {self.complaints()}") from None


def input_ends(broker, topic):
    return {p: end_offset(broker, topic, p) for p in range(PARTITIONS)}


def end_offset(broker, topic, partition):
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "ends", **patience(broker.bootstrap)})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1]
    finally:
        consumer.close()


def final_reads(broker, topic, sourced_from=None):
    """The history's events of a last read at read_committed."""
    found = []
    for partition in range(PARTITIONS):
        records = []
        for offset, _, value in read_to_end("confluent", broker.bootstrap, topic, partition):
            record = {"offset": offset, "value": value}
            if sourced_from:
                content = json.loads(value)
                record["source"] = {**history.place(sourced_from, content["partition"]), "offset": content["offset"]}
            records.append(record)
        found.append({"type": "final-read", "process": "final", "records": records,
                      "endOffset": end_offset(broker, topic, partition), **history.place(topic, partition)})
    return found


def final_fetches(group, topic, offsets):
    return [{"type": "offset-fetch", "process": "final", "group": group, "offset": offset, "final": True,
             **history.place(topic, partition)} for partition, offset in offsets.items()]


def tell_repetitions(reads, events, group):
    """Which transactions made outputs of the same inputs, and what their workers had been told and done around them."""
    attempts = collections.defaultdict(set)
    for record in (record for read in reads for record in read["records"]):
        content = json.loads(record["value"])
        attempts[content["partition"], content["offset"]].add(content["attempt"])
    inputs = collections.defaultdict(list)
    for (partition, offset), several in attempts.items():
        if len(several) > 1:
            inputs[partition, tuple(sorted(several))].append(offset)
    told = [f"group {group}"]
    for (partition, several), offsets in sorted(inputs.items()):
        told.append(f"partition {partition}, {len(offsets)} inputs from {min(offsets)} to {max(offsets)} by {several}")
    for transaction in sorted({transaction for _, several in inputs for transaction in several})[:6]:
        number = transaction // 1_000_000
        own = [event for event in events if event["process"] in (f"producer-{number}", f"consumer-{number}")
               and event["type"] not in ("send", "poll")]
        own.sort(key=lambda event: event["time"])
        ends = [index for index, event in enumerate(own)
                if event["type"] == "transaction-end" and event["transaction"] == transaction]
        last = ends[0] if ends else len(own)
        told += [f"around {transaction}:", *map(str, own[max(0, last - 12):last + 3])]
    return "\n".join(told)


def transform_while(disturb, broker, make_topic, folder, what, kind=WorkerSlot, least=100):
    """Two workers of each client transform numbered inputs in transactions while they and the broker are disturbed. In
    the end each input has exactly one output, the groups stand at the inputs' ends, and the history of all that the
    clients were told shows no anomaly. `what` names the run."""
    source = make_topic(broker, PARTITIONS)
    folder.mkdir()
    slots = []
    for client, suffix in kind.suffixes.items():
        sink, group = make_topic(broker, PARTITIONS), unique("group")
        for index in range(2):
            slots.append(kind(folder, client, broker, source, sink, group, f"{client}-{suffix[index]}",
                              (2 * index, 2 * index + 1)))
    feeder = Feeder(broker, source, folder / "feeder.jsonl")
    started = time.monotonic()
    try:
        disturb(slots)
        feeder.finish()
        ends = input_ends(broker, source)
        pairs = {slot.sink: slot.group for slot in slots}
        assert feeder.acknowledged <= sum(ends.values()) <= feeder.sent

        def is_done():
            for slot in slots:
                slot.tend()
            return all(committed_offsets(broker, group, source, PARTITIONS) == ends for group in pairs.values())

        wait_until(is_done, 90, "the workers' end", step=0.3)
    finally:
        codes = [slot.stop() for slot in slots]
    # One that did all may still wait for what its client will never tell it.
    assert set(codes) <= {0, *GAVE_UP}
    seconds = time.monotonic() - started

    inputs = history.events([folder / "feeder.jsonl"]) + final_reads(broker, source)
    ended = collections.Counter()
    for sink, group in pairs.items():
        found = inputs + history.events([path for slot in slots if slot.sink == sink for path in slot.histories])
        reads = final_reads(broker, sink, source)
        sources = collections.Counter(
            (record["source"]["partition"], record["source"]["offset"]) for read in reads for record in read["records"])
        assert set(sources.values()) <= {1}, f"{what}: {tell_repetitions(reads, found, group)}"
        assert set(sources) == {(p, offset) for p in ends for offset in range(ends[p])}, what
        found += reads + final_fetches(group, source, ends)
        anomalies = history.check(folder, found, "--transform", f"{source}:{sink}")
        assert anomalies == [], f"{what}: {anomalies[:5]}"
        ended.update(event["outcome"] for event in found if event["type"] == "transaction-end")
    print(f"{feeder.sent} inputs, transactions {dict(ended)}, {seconds:.0f} s, "
          f"{sum(slot.gave_up for slot in slots)} workers gave up")
    assert ended["committed"] > least
