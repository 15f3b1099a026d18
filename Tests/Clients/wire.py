"""Kafka's protocol by hand, for what no client would send."""

import socket
import struct
import threading

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS = 0, 1, 2, 3, 18

_CRC32C = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _CRC32C.append(_byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def unsigned_varint(number):
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def varint(number):
    """Zig-zag."""
    return unsigned_varint(((number << 1) ^ (number >> 63)) & (1 << 64) - 1)


def compact(text):
    """A string of the flexible versions."""
    data = text.encode()
    return unsigned_varint(len(data) + 1) + data


def record(value, index=0, key=None):
    key_part = varint(-1) if key is None else varint(len(key)) + key
    body = b"\0" + varint(0) + varint(index) + key_part + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(records, count=1, codec=0, attributes=0, magic=2, crc=None, last_offset_delta=None, producer=(-1, -1, -1),
          length=None):
    """A record batch around bytes of records, compressed already. What is given stands before what would be right."""
    last = count - 1 if last_offset_delta is None else last_offset_delta
    producer_id, epoch, sequence = producer
    now = 1_700_000_000_000
    fields = attributes | codec, last, now, now, producer_id, epoch, sequence, count
    checked = struct.pack(">hiqqqhii", *fields) + records
    crc = crc32c(checked) if crc is None else crc
    tail = struct.pack(">ibI", -1, magic, crc) + checked
    return struct.pack(">qi", 0, len(tail) if length is None else length) + tail


def frame(api_key, version, body, correlation=1, flexible=False, client="wire"):
    data = struct.pack(">hhi", api_key, version, correlation) + string(client) + (b"\0" if flexible else b"") + body
    return struct.pack(">i", len(data)) + data


def produce_frame(topic, records, partition=0, acks=-1, correlation=1, timeout=10_000):
    """Version 7, the last whose reply has no messages in it."""
    body = struct.pack(">hhi", -1, acks, timeout) + struct.pack(">i", 1) + string(topic)
    body += struct.pack(">iii", 1, partition, len(records)) + records
    return frame(PRODUCE, 7, body, correlation)


def fetch_frame(topic, offset=0, partition=0, wait=0, minimum=1, maximum=50 << 20, correlation=1):
    """Version 4."""
    body = struct.pack(">iiiib", -1, wait, minimum, maximum, 0) + struct.pack(">i", 1) + string(topic)
    body += struct.pack(">iiqi", 1, partition, offset, maximum)
    return frame(FETCH, 4, body, correlation)


def metadata_frame(correlation=1):
    """Version 1, all topics."""
    return frame(METADATA, 1, struct.pack(">i", -1), correlation)


class Connection:
    def __init__(self, broker, limit=20):
        self.socket = socket.create_connection((broker.host, broker.port), timeout=limit)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError("the broker closed the connection")
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def reply(self):
        """(correlation id, what follows it)"""
        length, = struct.unpack(">i", self.read(4))
        data = self.read(length)
        return struct.unpack(">i", data[:4])[0], data[4:]

    def ask(self, data):
        self.send(data)
        return self.reply()[1]

    def is_closed_by_broker(self, limit=10):
        """Whether the broker ends the connection, with or without having answered."""
        self.socket.settimeout(limit)
        try:
            while self.socket.recv(1 << 16):
                pass
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def finish_sending(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The broker was faster.


def produce_error(reply):
    """The error and the base offset of the one partition in a reply of version 7."""
    name_length, = struct.unpack_from(">h", reply, 4)
    error, offset = struct.unpack_from(">hq", reply, 4 + 2 + name_length + 4 + 4)
    return error, offset


def try_produce(broker, topic, records):
    with Connection(broker) as connection:
        return produce_error(connection.ask(produce_frame(topic, records)))


class RecordingProxy:
    """Stands between clients and a broker and keeps every frame that the clients send."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = None
        self.frames = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source, sink, is_recorded):
        pending = b""
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
                if not is_recorded:
                    continue
                pending += data
                while len(pending) >= 4 and len(pending) >= 4 + (size := struct.unpack(">i", pending[:4])[0]):
                    self.frames.append(pending[4:4 + size])
                    pending = pending[4 + size:]
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
