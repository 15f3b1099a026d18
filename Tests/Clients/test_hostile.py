"""Bytes that no client sends. The broker refuses them, keeps its memory, and goes on serving the others."""

import gzip
import random
import socket
import struct
import time
import zlib

import confluent_kafka
import lz4.frame
import pytest
import snappy
import zstandard
from confluent_kafka.admin import AdminClient, ConfigResource

import wire
from clients import CLIENTS, Message, consume, produce
from harness import unique, wait_until
from wire import Connection, batch, frame, produce_frame, record, try_produce

RSS_LIMIT = 200 << 20

CORRUPT_MESSAGE, UNSUPPORTED_VERSION, UNSUPPORTED_FOR_MESSAGE_FORMAT, INVALID_RECORD = 2, 35, 43, 87
UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_ORDER_SEQUENCE_NUMBER = 76, 45


@pytest.fixture
def target(make_broker):
    """A broker that must be well after what the test did to it."""
    broker = make_broker({
        "max.decompressed.batch.bytes": "1000000", "socket.request.max.bytes": "10000000", "max.partitions": "300",
        # Hundreds of clients come at once; with the default of 50 the kernel lets some wait for a second.
        "socket.listen.backlog.size": "1000",
        "offsets.topic.num.partitions": "4"})
    yield broker
    assert_is_well(broker)


def assert_is_well(broker):
    assert broker.process.poll() is None, broker.log()
    topic = unique("after")
    with Connection(broker) as connection:
        # Metadata for one topic makes it.
        connection.ask(frame(wire.METADATA, 4, struct.pack(">i", 1) + wire.string(topic) + b"\1"))
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"%d" % i, [], 1) for i in range(100)])
    assert len(consume("confluent", broker.bootstrap, topic, 100)) == 100
    assert broker.rss() < RSS_LIMIT, f"{broker.rss() >> 20} MB resident"


@pytest.mark.parametrize("length", [-1, -(2**31), 2**31 - 1, 0, 3, 7, 10_000_001])
def test_frame_lengths_out_of_bounds(target, length):
    """Such a frame ends its connection at once. Catches an allocation of what a stranger announces, and a wait."""
    with Connection(target) as connection:
        connection.send(struct.pack(">i", length) + b"\0" * 4)
        assert connection.is_closed_by_broker()
    assert target.metrics()["martlet_frames_refused_total", ()] == 1


def test_many_large_frames_that_never_come(target):
    """300 clients announce 10 MB each and send a little. Memory must follow what came, not what was announced."""
    connections = [Connection(target) for _ in range(300)]
    for connection in connections:
        connection.send(struct.pack(">i", 9_999_999) + b"\0\0\0\7" + b"\0" * 1000)
    assert_is_well(target)
    for connection in connections:
        connection.socket.close()


def test_unknown_api_and_version(target):
    """What the broker does not speak ends the connection; only ApiVersions is answered, so that a newer client can
    find out what there is (KIP-511)."""
    for api_key, version in [(999, 0), (-1, 0), (32767, 0), (wire.METADATA, 99), (wire.METADATA, -1), (wire.FETCH, 0)]:
        with Connection(target) as connection:
            connection.send(frame(api_key, version, b"\0" * 20))
            assert connection.is_closed_by_broker(), (api_key, version)
    with Connection(target) as connection:
        reply = connection.ask(frame(wire.API_VERSIONS, 99, b"\1\1\0", flexible=True))
        error, count = struct.unpack_from(">hi", reply)
        assert error == UNSUPPORTED_VERSION
        ranges = {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", reply[6:6 + 6 * count])}
        assert ranges[wire.API_VERSIONS][1] >= 3
        # The same connection goes on.
        assert struct.unpack_from(">h", connection.ask(frame(wire.API_VERSIONS, 0, b"")))[0] == 0


def supported_versions(broker):
    with Connection(broker) as connection:
        reply = connection.ask(frame(wire.API_VERSIONS, 0, b""))
    _, count = struct.unpack_from(">hi", reply)
    return list(struct.iter_unpack(">hhh", reply[6:6 + 6 * count]))


BODIES = {
    "nothing": b"",
    "counts of 2^31-1": b"\x7f\xff\xff\xff" * 8,
    "string, then counts of 2^31-1": b"\0\1x" + b"\x7f\xff\xff\xff" * 8,
    "flexible counts of 2^31-1": b"\0" + b"\xff\xff\xff\xff\x07" * 8,
    "flexible counts of 2^32-1": b"\0" + b"\xff\xff\xff\xff\x0f" * 8,
    "endless varint": b"\0" + b"\xff" * 40,
    "zeros": b"\0" * 40,
    "negative counts": b"\xff\xff\xff\xfe" * 10,
}


@pytest.mark.parametrize("body", BODIES)
def test_hostile_bodies_for_every_api_and_version(target, body):
    """Each decoder meets each of these. It may answer or hang up, but soon, and cheaply."""
    for api_key, low, high in supported_versions(target):
        for version in range(low, high + 1):
            with Connection(target) as connection:
                connection.send(frame(api_key, version, BODIES[body]))
                connection.finish_sending()
                assert connection.is_closed_by_broker(), f"API {api_key} version {version} hangs"
    assert target.rss() < RSS_LIMIT


def test_bad_batches_get_their_error_and_the_connection_goes_on(target, make_topic):
    """Each damage has Kafka's own error code, nothing of it is stored, and the next good batch gets the next offset."""
    topic = make_topic(target)
    good = record(b"good")
    v1_message = struct.pack(">bbqi", 1, 0, 0, -1) + struct.pack(">i", 1) + b"v"
    v0_message = struct.pack(">bbi", 0, 0, -1) + struct.pack(">i", 1) + b"v"
    old = [struct.pack(">qiI", 0, 4 + len(m), zlib.crc32(m)) + m for m in (v0_message, v1_message)]
    cases = [
        ("wrong CRC", batch(good, crc=1), CORRUPT_MESSAGE),
        ("length beyond the bytes", batch(good, length=5000), CORRUPT_MESSAGE),
        ("length below the header", batch(good, length=20), CORRUPT_MESSAGE),
        ("negative length", batch(good, length=-1), CORRUPT_MESSAGE),
        ("a few bytes", b"\0" * 10, CORRUPT_MESSAGE),
        ("magic 3", batch(good, magic=3), CORRUPT_MESSAGE),
        ("magic 0", batch(good + b"\0" * 10, magic=0), UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("magic 1", batch(good + b"\0" * 10, magic=1), UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("a message set of format 0", old[0], UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("a message set of format 1", old[1], UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("more records counted than there are", batch(good, count=2), INVALID_RECORD),
        ("fewer records counted than there are", batch(good + record(b"2", 1), count=1), INVALID_RECORD),
        ("2^31-1 records counted", batch(good, count=2**31 - 1), INVALID_RECORD),
        ("no records", batch(b"", count=0, last_offset_delta=0), INVALID_RECORD),
        ("last offset wrong", batch(good, last_offset_delta=7), INVALID_RECORD),
        ("record length of 2^31-1", batch(wire.varint(2**31 - 1) + good[1:]), INVALID_RECORD),
        ("negative record length", batch(wire.varint(-5) + good[1:]), INVALID_RECORD),
        ("a control batch", batch(record(b"\0\0\0\0\0\0", key=b"\0\0\0\1"), attributes=0x20), INVALID_RECORD),
        ("codec 5", batch(good, codec=5), UNSUPPORTED_COMPRESSION_TYPE),
        ("gzip that is none", batch(b"not gzip at all", codec=1), CORRUPT_MESSAGE),
        ("zstd that is none", batch(b"not zstd at all", codec=4), CORRUPT_MESSAGE),
        ("producer id without sequence", batch(good, producer=(7, 0, -1)), INVALID_RECORD),
    ]
    wrong = []
    with Connection(target) as connection:
        for name, records, expected in cases:
            error, offset = wire.produce_error(connection.ask(produce_frame(topic, records)))
            if (error, offset) != (expected, -1):
                wrong.append(f"{name}: error {error} at {offset}, expected {expected}")
        assert not wrong, "\n".join(wrong)
        for expected_offset in range(3):
            assert wire.produce_error(connection.ask(produce_frame(topic, batch(good)))) == (0, expected_offset)
    assert [m.value for m in consume("confluent", target.bootstrap, topic, 3)] == [b"good"] * 3


def test_sequence_gaps_are_refused(target, make_topic):
    """An idempotent producer's lost batch must show (error 45), and a batch sent twice is stored once."""
    topic = make_topic(target)
    with Connection(target) as connection:
        def send(sequence):
            return wire.produce_error(
                connection.ask(produce_frame(topic, batch(record(b"%d" % sequence), producer=(4242, 0, sequence)))))

        assert send(0) == (0, 0)
        assert send(1) == (0, 1)
        assert send(1) == (0, 1)
        assert send(3)[0] == OUT_OF_ORDER_SEQUENCE_NUMBER
        assert send(2) == (0, 2)
    assert [m.value for m in consume("confluent", target.bootstrap, topic, 3)] == [b"0", b"1", b"2"]


BOMBS = {
    # Snappy gains little: its bomb is as large as a batch may be.
    "snappy": (2, lambda data: snappy.compress(data[:15_000_000])),
    "gzip": (1, lambda data: gzip.compress(data)),
    "lz4": (3, lambda data: lz4.frame.compress(data)),
    "zstd": (4, lambda data: zstandard.compress(data)),
}


@pytest.mark.parametrize("codec", BOMBS)
def test_decompression_bombs(target, make_topic, codec):
    """A small batch that would fill the memory is refused before it does (INVALID_RECORD). Several at a time."""
    topic = make_topic(target)
    number, compress = BOMBS[codec]
    content = record(bytes(200_000_000))
    bomb = batch(compress(content), codec=number)
    assert len(bomb) < 1_048_588
    before = target.peak_rss()
    with Connection(target) as connection:
        for _ in range(5):
            assert wire.produce_error(connection.ask(produce_frame(topic, bomb))) == (INVALID_RECORD, -1)
        # What just fits is taken.
        fits = batch(compress(record(bytes(900_000))), codec=number)
        assert wire.produce_error(connection.ask(produce_frame(topic, fits))) == (0, 0)
    grown = target.peak_rss() - before
    assert grown < 40 << 20, f"refusing {codec} bombs took {grown >> 20} MB"


def test_bombs_do_not_go_off_in_a_topic_with_a_codec_of_its_own(target, make_topic):
    """The broker decompresses to compress anew; the same limit holds there."""
    topic = make_topic(target, compression_type="lz4")
    bomb = batch(zstandard.compress(record(bytes(200_000_000))), codec=4)
    assert try_produce(target, topic, bomb) == (INVALID_RECORD, -1)
    assert target.peak_rss() < RSS_LIMIT


def test_slow_senders_hold_nobody_up(target, make_topic):
    """30 clients send their request a byte at a time. Others are served meanwhile, and they themselves at the end."""
    topic = make_topic(target)
    request = frame(wire.API_VERSIONS, 0, b"")
    slow = [Connection(target) for _ in range(30)]
    latencies = []
    with Connection(target) as quick:
        for position in range(len(request)):
            for connection in slow:
                connection.send(request[position:position + 1])
            start = time.monotonic()
            error, offset = wire.produce_error(quick.ask(produce_frame(topic, batch(record(b"quick")))))
            latencies.append(time.monotonic() - start)
            assert (error, offset) == (0, position)
    for connection in slow:
        assert struct.unpack_from(">h", connection.reply()[1])[0] == 0
        connection.socket.close()
    # The disk may be slow once; a broker that waits for a slow client would be so each time.
    assert sorted(latencies)[len(latencies) // 2] < 0.5


def pipeline_without_reading(target, request, count):
    """Sends requests until the broker takes no more, and returns the connection and how many went out whole."""
    connection = Connection(target)
    # Otherwise the kernel would take all of it.
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
    connection.socket.settimeout(1)
    sent, rest = 0, b""
    while sent < count:
        rest = rest or request(sent)
        try:
            rest = rest[connection.socket.send(rest):]
        except TimeoutError:
            break
        sent += not rest
    return connection, sent, rest


@pytest.mark.parametrize("kind", ["fetch", "metadata", "produce"])
def test_thousands_of_requests_without_reading_the_replies(target, make_topic, kind):
    """A client that only sends is not read from any more; the replies it will not take must not fill the memory.
    Once it reads, it gets each of them, in order."""
    topic = make_topic(target, partitions=100)
    produce("confluent", target.bootstrap, topic, [Message(None, random.Random(i).randbytes(100_000), [], 1)
                                                   for i in range(40)])
    request = {
        "fetch": lambda n: wire.fetch_frame(topic, maximum=2 << 20, correlation=n),
        "metadata": lambda n: wire.metadata_frame(correlation=n),
        "produce": lambda n: produce_frame(topic, batch(record(b"v")), partition=1, correlation=n),
    }[kind]
    count = 20_000
    connection, sent, rest = pipeline_without_reading(target, request, count)
    assert sent > 10
    if kind == "fetch":
        assert sent < count, "the broker read 20,000 fetches of 2 MB while nobody took the replies"
    assert target.rss() < RSS_LIMIT, f"{target.rss() >> 20} MB resident"
    assert_is_well(target)
    # Some of the replies, at least; all 2 MB ones would take long.
    connection.socket.settimeout(20)
    for expected in range(min(sent, 300 if kind == "fetch" else sent)):
        correlation, body = connection.reply()
        assert correlation == expected
        if kind == "produce":
            assert wire.produce_error(body) == (0, expected)
    connection.socket.close()


def test_a_connection_flood_is_bounded(make_broker):
    """max.connections and max.connections.per.ip hold; a place that is given up can be taken again."""
    broker = make_broker({"max.connections.per.ip": "50"})
    connections = [Connection(broker) for _ in range(50)]
    for connection in connections:
        assert struct.unpack_from(">h", connection.ask(frame(wire.API_VERSIONS, 0, b"")))[0] == 0
    with Connection(broker) as refused:
        assert refused.is_closed_by_broker()
    connections.pop().socket.close()

    def is_served():
        with Connection(broker) as connection:
            try:
                return len(connection.ask(frame(wire.API_VERSIONS, 0, b""))) > 0
            except (EOFError, ConnectionError):
                return False

    wait_until(is_served, 10, "the place of a closed connection")
    for connection in connections:
        connection.socket.close()


def captured_frames(make_broker):
    """What real clients send: produce, groups of both kinds, administration."""
    proxy = wire.RecordingProxy()
    broker = make_broker({
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}", "offsets.topic.num.partitions": "4",
        "max.partitions": "300", "max.decompressed.batch.bytes": "10000000"})
    proxy.target = broker.port
    bootstrap = f"127.0.0.1:{proxy.port}"
    for client in CLIENTS:
        produce(client, bootstrap, f"fuzz-{client}", [Message(b"k", b"v" * 20, [("h", b"x")], 1)], "gzip")
        consume(client, bootstrap, f"fuzz-{client}", 1)
    for protocol in ("classic", "consumer"):
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"fuzz-{protocol}", "group.protocol": protocol,
             "auto.offset.reset": "earliest"})
        consumer.subscribe(["fuzz-confluent"])
        assert wait_until(lambda: consumer.poll(0.2), 20, "a message").error() is None
        consumer.commit(asynchronous=False)
        consumer.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.list_topics(timeout=10)
    admin.list_consumer_groups().result(10)
    admin.describe_consumer_groups(["fuzz-classic"])["fuzz-classic"].result(10)
    resource = ConfigResource("topic", "fuzz-confluent")
    admin.describe_configs([resource])[resource].result(10)
    proxy.close()
    return broker, list(proxy.frames)


def mutated(frame_bytes, random_source):
    data = bytearray(frame_bytes)
    for _ in range(random_source.randint(1, 6)):
        choice = random_source.random()
        # The header's first bytes choose the API; leave it alone most of the time.
        position = random_source.randrange(4 if random_source.random() < 0.9 else 0, len(data)) if len(data) > 4 else 0
        if choice < 0.4 and data:
            data[position] = random_source.choice([0, 1, 0x7F, 0x80, 0xFF, random_source.randrange(256)])
        elif choice < 0.6:
            data[position:position + 4] = random_source.choice([b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0"])
        elif choice < 0.75:
            del data[position:position + random_source.randint(1, 8)]
        elif choice < 0.9:
            data[position:position] = random_source.randbytes(random_source.randint(1, 8))
        else:
            del data[position:]
    return struct.pack(">i", len(data)) + bytes(data)


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_requests_of_real_clients(make_broker, seed):
    """4,000 requests that are almost right, from a seed. Catches what only a decoder's depth meets: a trap on a
    length, an allocation by a count, a request that is never answered and blocks the next."""
    broker, frames = captured_frames(make_broker)
    assert len({frame[:4] for frame in frames}) > 15, "the clients were to use many APIs"
    # What a mutated frame asks for may be refused with an error in the log; a crash may not happen.
    random_source = random.Random(seed)
    for number in range(4000):
        if number % 10 == 0:
            connection = Connection(broker)
        try:
            connection.send(mutated(random_source.choice(frames), random_source))
        except ConnectionError:
            connection.socket.close()
            connection = Connection(broker)
        if number % 10 == 9:
            connection.socket.close()
        if number % 500 == 0:
            assert broker.process.poll() is None, f"seed {seed}, frame {number}:\n{broker.log()[-3000:]}"
            assert broker.rss() < RSS_LIMIT, f"seed {seed}, frame {number}: {broker.rss() >> 20} MB"
    with Connection(broker) as probe:
        assert struct.unpack_from(">h", probe.ask(frame(wire.API_VERSIONS, 0, b"")))[0] == 0
    assert broker.rss() < RSS_LIMIT
    # It comes back from what it wrote.
    broker.restart()
    with Connection(broker) as probe:
        assert struct.unpack_from(">h", probe.ask(frame(wire.API_VERSIONS, 0, b"")))[0] == 0


def test_random_bytes(target):
    """Noise of every length, from a seed."""
    random_source = random.Random(5)
    for _ in range(300):
        with Connection(target) as connection:
            body = random_source.randbytes(random_source.randrange(0, 2000))
            try:
                connection.send(random_source.choice([b"", struct.pack(">i", len(body))]) + body)
            except ConnectionError:
                pass
            connection.finish_sending()
            assert connection.is_closed_by_broker()
