"""Requests by hand that a client sends to one node only; here any node can be asked."""

import struct

from wire import FETCH, PRODUCE, Connection, batch, compact, fetch_frame, frame, record, string, unsigned_varint

FIND_COORDINATOR, CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS, INCREMENTAL_ALTER_CONFIGS = 10, 19, 20, 37, 44
ALTER_PARTITION_REASSIGNMENTS, UNREGISTER_BROKER = 45, 64
NOT_LEADER, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND = 6, 19, 20


def _ask(node, key, version, body, flexible=False):
    with Connection(node) as connection:
        return connection.ask(frame(key, version, body, flexible=flexible))


class Fields:
    """What a reply of a flexible version has, one after the other."""

    def __init__(self, data):
        self.data, self.position = data, 0

    def take(self, layout):
        values = struct.unpack_from(">" + layout, self.data, self.position)
        self.position += struct.calcsize(">" + layout)
        return values if len(values) > 1 else values[0]

    def unsigned_varint(self):
        number = shift = 0
        while True:
            byte = self.take("B")
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def bytes(self, count):
        self.position += count
        return self.data[self.position - count:self.position]

    def text(self):
        """None for null."""
        length = self.unsigned_varint() - 1
        return None if length < 0 else self.bytes(length).decode()

    def array(self, item):
        """Empty for null."""
        return [item() for _ in range(self.unsigned_varint() - 1)]

    def tagged(self):
        """{tag: the field's bytes}"""
        return {self.unsigned_varint(): self.bytes(self.unsigned_varint()) for _ in range(self.unsigned_varint())}


def _named_error(reply):
    """The error of the one topic in a reply that begins with the throttle time."""
    length, = struct.unpack_from(">h", reply, 8)
    return struct.unpack_from(">h", reply, 10 + length)[0]


def create_topic(node, name, partitions, replicas, timeout=10_000):
    body = struct.pack(">i", 1) + string(name) + struct.pack(">ihii", partitions, replicas, 0, 0)
    return _named_error(_ask(node, CREATE_TOPICS, 2, body + struct.pack(">ib", timeout, 0)))


def delete_topic(node, name, timeout=10_000):
    return _named_error(_ask(node, DELETE_TOPICS, 1, struct.pack(">i", 1) + string(name) + struct.pack(">i", timeout)))


def create_partitions(node, name, count, timeout=10_000):
    body = struct.pack(">i", 1) + string(name) + struct.pack(">ii", count, -1) + struct.pack(">ib", timeout, 0)
    return _named_error(_ask(node, CREATE_PARTITIONS, 0, body))


def set_topic_config(node, name, key, value):
    body = struct.pack(">ib", 1, 2) + string(name) + struct.pack(">i", 1) + string(key) + b"\0" + string(value) + b"\0"
    return struct.unpack_from(">h", _ask(node, INCREMENTAL_ALTER_CONFIGS, 0, body), 8)[0]


def find_coordinator(node, key, is_transactional=False):
    """(error, node id)"""
    reply = _ask(node, FIND_COORDINATOR, 1, string(key) + bytes([is_transactional]))
    error, = struct.unpack_from(">h", reply, 4)
    length, = struct.unpack_from(">h", reply, 6)
    return error, struct.unpack_from(">i", reply, 8 + max(0, length))[0]


def fetch_error(node, topic):
    """Of Fetch version 4."""
    with Connection(node) as connection:
        reply = connection.ask(fetch_frame(topic))
    return struct.unpack_from(">h", reply, 4 + 4 + 2 + len(topic) + 4 + 4)[0]


def fetch_from(node, topic, rack="", offset=0, partition=0):
    """(error, preferred replica, bytes of records) of Fetch version 11."""
    body = struct.pack(">iiiibii", -1, 0, 1, 1 << 20, 0, 0, -1) + struct.pack(">i", 1) + string(topic)
    body += struct.pack(">iiiqqi", 1, partition, -1, offset, -1, 1 << 20) + struct.pack(">i", 0) + string(rack)
    reply = _ask(node, 1, 11, body)
    position = 4 + 2 + 4 + 4 + 2 + len(topic) + 4
    _, error = struct.unpack_from(">ih", reply, position)
    aborted, = struct.unpack_from(">i", reply, position + 30)
    preferred, size = struct.unpack_from(">ii", reply, position + 34 + 16 * max(0, aborted))
    return error, preferred, max(0, size)


def unregister_broker(node, broker_id):
    """The error of UnregisterBroker."""
    fields = Fields(_ask(node, UNREGISTER_BROKER, 0, struct.pack(">i", broker_id) + b"\0", flexible=True))
    fields.tagged()
    _, error = fields.take("ih")
    return error


def reassign(node, topic, replicas, timeout=10_000):
    """The errors of AlterPartitionReassignments for a topic's first partition: (the reply's, [the partition's])."""
    body = struct.pack(">i", timeout) + b"\2" + compact(topic) + b"\2" + struct.pack(">i", 0)
    body += unsigned_varint(len(replicas) + 1) + b"".join(struct.pack(">i", replica) for replica in replicas)
    fields = Fields(_ask(node, ALTER_PARTITION_REASSIGNMENTS, 0, body + b"\0" * 3, flexible=True))

    def partition():
        _, error = fields.take("ih")
        fields.text()
        fields.tagged()
        return error

    def partitions():
        fields.text()
        errors = fields.array(partition)
        fields.tagged()
        return errors

    fields.tagged()
    _, error = fields.take("ih")
    fields.text()
    return error, sum(fields.array(partitions), [])


def _redirection(error, leader, reply):
    """(error, (leader, its epoch), {node: (host, port)}) of the tagged fields of a partition and a reply (KIP-951)."""
    def endpoint():
        node, host, port = fields.take("i"), fields.text(), fields.take("i")
        fields.text()
        fields.tagged()
        return node, (host, port)

    fields = Fields(reply.get(0, b"\1"))
    return error, leader and struct.unpack(">ii", leader[:8]), dict(fields.array(endpoint))


def produce_redirection(node, topic, version):
    """What Produce, at least version 10, says of who leads: see _redirection."""
    records = batch(record(b"x"))
    body = b"\0" + struct.pack(">hi", -1, 10_000) + b"\2" + compact(topic) + b"\2" + struct.pack(">i", 0)
    body += unsigned_varint(len(records) + 1) + records + b"\0\0\0"
    fields = Fields(_ask(node, PRODUCE, version, body, flexible=True))
    fields.tagged()

    def partition():
        _, error, _, _, _ = fields.take("ihqqq")
        assert fields.array(lambda: None) == []
        fields.text()
        return error, fields.tagged().get(0)

    def named():
        assert fields.text() == topic
        found = fields.array(partition)
        fields.tagged()
        return found

    (found,), = fields.array(named)
    fields.take("i")
    return _redirection(*found, fields.tagged())


def fetch_redirection(node, topic_id, version):
    """As produce_redirection, of Fetch, at least version 16."""
    body = struct.pack(">iiibii", 0, 0, 1 << 20, 0, 0, -1) + b"\2" + topic_id + b"\2"
    body += struct.pack(">iiqiqi", 0, -1, 0, -1, -1, 1 << 20) + b"\0\0" + b"\1" + compact("") + b"\0"
    fields = Fields(_ask(node, FETCH, version, body, flexible=True))
    fields.tagged()
    _, error, _ = fields.take("ihi")
    assert error == 0

    def partition():
        _, error, _, _, _ = fields.take("ihqqq")
        assert fields.array(lambda: None) == []
        fields.take("i")
        fields.bytes(max(0, fields.unsigned_varint() - 1))
        return error, fields.tagged().get(1)

    def named():
        assert fields.bytes(16) == topic_id
        found = fields.array(partition)
        fields.tagged()
        return found

    (found,), = fields.array(named)
    return _redirection(*found, fields.tagged())
