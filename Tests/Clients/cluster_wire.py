"""Requests by hand that a client sends to one node only; here any node can be asked."""

import struct

from wire import Connection, fetch_frame, frame, string

FIND_COORDINATOR, CREATE_TOPICS, DELETE_TOPICS, CREATE_PARTITIONS, INCREMENTAL_ALTER_CONFIGS = 10, 19, 20, 37, 44
NOT_LEADER, NOT_ENOUGH_REPLICAS = 6, 19


def _ask(node, key, version, body):
    with Connection(node) as connection:
        return connection.ask(frame(key, version, body))


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
