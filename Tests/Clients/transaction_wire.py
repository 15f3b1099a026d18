"""Transactions by hand, for what no client would send. Old, inflexible versions of the requests (Produce 7,
AddPartitionsToTxn 2, EndTxn 2 and so on), whose producers keep their epoch over the ends of their transactions; and
Produce 12 and EndTxn 5, whose producers get a new one with each end (KIP-890)."""

import struct

import wire
from wire import PRODUCE, Connection, batch, compact, frame, record, string, unsigned_varint

FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN = 10, 22, 24, 25, 26
TXN_OFFSET_COMMIT = 28

TRANSACTIONAL = 1 << 4


class RawProducer:
    """One producer and its connection. Calls return error codes; what was asked last can be asked again."""

    def __init__(self, broker, transactional_id, topic, version=1):
        self.connection = Connection(broker)
        self.id, self.topic, self.version = transactional_id, topic, version
        self.producer, self.epoch = -1, -1
        self.sequences = {}

    def close(self):
        self.connection.socket.close()

    def find_coordinator(self):
        reply = self.connection.ask(frame(FIND_COORDINATOR, 1, string(self.id) + b"\1"))
        return struct.unpack_from(">ih", reply)[1]

    def initialize(self, timeout=30_000):
        reply = self.connection.ask(frame(INIT_PRODUCER_ID, 1, string(self.id) + struct.pack(">i", timeout)))
        _, error, producer, epoch = struct.unpack_from(">ihqh", reply)
        if error == 0:
            self.producer, self.epoch, self.sequences = producer, epoch, {}
        return error

    def _head(self):
        return string(self.id) + struct.pack(">qh", self.producer, self.epoch)

    def add(self, *partitions, topic=None):
        """A code for each partition."""
        topics = struct.pack(">i", 1) + string(topic or self.topic) + struct.pack(
            f">i{len(partitions)}i", len(partitions), *partitions)
        reply = self.connection.ask(frame(ADD_PARTITIONS, 2, self._head() + topics))
        start = 4 + 4 + 2 + len(topic or self.topic) + 4
        return [struct.unpack_from(">ih", reply, start + 6 * index)[1] for index in range(len(partitions))]

    def add_offsets(self, group):
        reply = self.connection.ask(frame(ADD_OFFSETS, 2, self._head() + string(group)))
        return struct.unpack_from(">ih", reply)[1]

    def commit_offset(self, group, offset, partition=0):
        body = string(self.id) + string(group) + struct.pack(">qh", self.producer, self.epoch)
        body += struct.pack(">i", 1) + string(self.topic) + struct.pack(">iiqih", 1, partition, offset, -1, -1)
        reply = self.connection.ask(frame(TXN_OFFSET_COMMIT, 2, body))
        return struct.unpack_from(">h", reply, len(reply) - 2)[0]

    def records(self, value, partition=0, advance=True):
        """A batch of one record, the next in the producer's sequence."""
        sequence = self.sequences.get(partition, 0)
        if advance:
            self.sequences[partition] = sequence + 1
        return batch(record(value.encode()), attributes=TRANSACTIONAL, producer=(self.producer, self.epoch, sequence))

    def produce(self, value, partition=0):
        return self.produce_records(self.records(value, partition), partition)

    def produce_records(self, records, partition=0):
        return self.connection_error(self.produce_frame(records, partition))

    def produce_frame(self, records, partition=0, transactional_id=None):
        name = transactional_id or self.id
        if self.version == 2:
            body = compact(name) + struct.pack(">hi", -1, 10_000) + b"\2" + compact(self.topic) + b"\2"
            body += struct.pack(">i", partition) + unsigned_varint(len(records) + 1) + records + b"\0\0\0"
            return frame(PRODUCE, 12, body, flexible=True)
        body = string(name) + struct.pack(">hi", -1, 10_000) + struct.pack(">i", 1) + string(self.topic)
        body += struct.pack(">iii", 1, partition, len(records)) + records
        return frame(PRODUCE, 7, body)

    def connection_error(self, data):
        reply = self.connection.ask(data)
        if self.version == 2:
            # Tagged fields of the header, one topic, its name, one partition, its number.
            return struct.unpack_from(">h", reply, 1 + 1 + len(compact(self.topic)) + 1 + 4)[0]
        return wire.produce_error(reply)[0]

    def end_frame(self, commit):
        head = struct.pack(">qh?", self.producer, self.epoch, commit)
        if self.version == 2:
            return frame(END_TXN, 5, compact(self.id) + head + b"\0", flexible=True)
        return frame(END_TXN, 2, string(self.id) + head)

    def end(self, commit):
        return self.send_end(self.end_frame(commit))

    def send_end(self, data):
        reply = self.connection.ask(data)
        if self.version == 1:
            return struct.unpack_from(">ih", reply)[1]
        _, error, producer, epoch = struct.unpack_from(">ihqh", reply, 1)
        if error == 0:
            if (producer, epoch) != (self.producer, self.epoch):
                self.sequences = {}
            self.producer, self.epoch = producer, epoch
        return error
