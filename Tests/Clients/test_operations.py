"""What an operator sees: health, metrics, and errors in the configuration before anything is touched."""

import subprocess

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from clients import Message, commit_offsets, consume, produce
from harness import BINARY, free_port, wait_until
from wire import API_VERSIONS, Connection, frame


def test_health_and_unknown_paths(broker):
    """A supervisor can trust /health; a wrong path or method is told so."""
    assert broker.http("/health") == (200, "ready\n")
    status, body = broker.http("/nothing")
    assert status == 404 and "/metrics" in body


def test_metrics_are_prometheus_text_and_move(broker, make_topic):
    """Every line parses, every family is declared, and the counters follow what was done. Catches a metric that is
    there but never counted."""
    topic = make_topic(broker, partitions=2)
    before = broker.metrics()
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"x" * 1000, [], 1) for _ in range(100)], partition=1)
    consume("confluent", broker.bootstrap, topic, 100, 1)
    after = broker.metrics()

    def moved(name, **labels):
        key = name, tuple(sorted(labels.items()))
        return after[key] - before.get(key, 0)

    assert moved("martlet_produced_records_total") == 100
    assert moved("martlet_produced_bytes_total") > 100_000
    assert moved("martlet_fetched_bytes_total") > 100_000
    assert moved("martlet_requests_total", api="produce") >= 1
    assert moved("martlet_requests_total", api="fetch") >= 1
    assert moved("martlet_connections_opened_total") >= 2
    assert moved("martlet_request_duration_seconds_count", api="produce") == moved(
        "martlet_requests_total", api="produce")
    assert after["martlet_log_end_offset", (("partition", "1"), ("topic", topic))] == 100
    assert after["martlet_log_high_watermark", (("partition", "1"), ("topic", topic))] == 100
    assert after["martlet_log_end_offset", (("partition", "0"), ("topic", topic))] == 0
    assert after["martlet_log_size_bytes", (("partition", "1"), ("topic", topic))] > 100_000
    assert after["martlet_log_directory_online", ()] == 1


def test_histograms_are_cumulative(broker, make_topic):
    """Buckets never fall, and the last is the count: what Prometheus' quantiles rely on."""
    topic = make_topic(broker)
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"v", [], 1)])
    metrics = broker.metrics()
    name = "martlet_request_duration_seconds"
    for api in {dict(labels)["api"] for (metric, labels) in metrics if metric == f"{name}_bucket"}:
        buckets = sorted((float(dict(labels)["le"]), value) for (metric, labels), value in metrics.items()
                         if metric == f"{name}_bucket" and dict(labels)["api"] == api)
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1] == (float("inf"), metrics[f"{name}_count", (("api", api),)])


def test_group_lag(broker, make_topic):
    """The lag that operators alert on: what the group has not committed."""
    topic = make_topic(broker)
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"v", [], 1)] * 10)
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "lagging"})
    commit_offsets(consumer, [confluent_kafka.TopicPartition(topic, 0, 3)])
    consumer.close()
    key = "martlet_group_lag_records", (("group", "lagging"), ("partition", "0"), ("topic", topic))
    assert broker.metrics()[key] == 7


def run_server(folder, *arguments):
    command = [BINARY, "server", "--data", str(folder), "--listen", f"127.0.0.1:{free_port()}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("setting, hint", [
    ("log.segmnt.bytes=1000", "log.segment.bytes"),
    ("num.partition=3", "num.partitions"),
    ("socket.request.max.byte=1000", "socket.request.max.bytes"),
    ("completely.unknown.thing=1", "completely.unknown.thing"),
    ("log.segment.bytes=abc", "log.segment.bytes"),
    ("log.segment.bytes=-5", "log.segment.bytes"),
    ("num.partitions=0", "num.partitions"),
    ("num.partitions=99999999999999999999", "num.partitions"),
    ("auto.create.topics.enable=yes", "auto.create.topics.enable"),
    ("log.cleanup.policy=shred", "log.cleanup.policy"),
    ("compression.type=rar", "compression.type"),
    ("listeners=NONSENSE", "listeners"),
    ("just-a-name", "just-a-name"),
])
def test_configuration_errors_end_the_start_with_64_and_one_line(tmp_path, setting, hint):
    """A typo is an error that names itself, or what was probably meant, on one line; nothing is created."""
    folder = tmp_path / "data"
    if setting.startswith("listeners"):
        command = [BINARY, "server", "--data", str(folder), "--set", setting]
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    else:
        result = run_server(folder, "--set", setting)
    assert result.returncode == 64, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert hint in lines[0]
    assert not folder.exists()


def test_a_properties_file_and_what_stands_before_it(make_broker, tmp_path):
    """Kafka's own server.properties starts a node; --set stands before it; a typo in it is an error too."""
    broker = make_broker({"num.partitions": "6"}, start=False)
    good = tmp_path / "server.properties"
    good.write_text("# comment\nbroker.id=7\nnum.partitions = 5\nlog.retention.hours=24\nnum.io.threads=8\n")
    broker.arguments = ["--config", str(good)]
    broker.start()
    assert "configuration.no-effect" in broker.log() and "num.io.threads" in broker.log()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert list(admin.list_topics(timeout=10).brokers) == [7]
    resource = ConfigResource("broker", "7")
    configs = admin.describe_configs([resource])
    values = configs[resource].result(10)
    assert (values["num.partitions"].value, values["log.retention.hours"].value) == ("6", "24")

    broken = tmp_path / "broken.properties"
    broken.write_text("num.partitoins=5\n")
    result = run_server(tmp_path / "data", "--config", str(broken))
    assert result.returncode == 64 and "num.partitions" in result.stderr and len(result.stderr.splitlines()) == 1
    result = run_server(tmp_path / "data", "--config", str(tmp_path / "missing"))
    assert result.returncode == 64 and len(result.stderr.splitlines()) == 1


def test_errors_that_cannot_be_written_are_no_crash(tmp_path):
    """Standard error on a full disk: the exit code still says what was wrong."""
    command = [BINARY, "server", "--data", str(tmp_path / "data"), "--set", "num.partitions=none"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stderr=full, timeout=20, check=False).returncode == 64


def test_a_second_broker_on_the_same_folder_is_refused(broker):
    """Two processes in one data folder would destroy it."""
    result = run_server(broker.data)
    assert result.returncode != 0
    assert "another process uses it" in result.stderr


def test_a_taken_port_is_an_error_of_one_line(broker, tmp_path):
    """An address in use is told, not retried for ever."""
    result = subprocess.run([BINARY, "server", "--data", str(tmp_path / "other"), "--listen", broker.bootstrap],
                            capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 1
    assert f"cannot listen on {broker.bootstrap}" in result.stderr.splitlines()[-1]


def test_idle_connections_are_closed(make_broker):
    """connections.max.idle.ms: a client that went away without a word does not hold its place for ever."""
    broker = make_broker({"connections.max.idle.ms": "500"})
    with Connection(broker) as connection:
        connection.ask(frame(API_VERSIONS, 0, b""))
        # The broker looks every ten seconds.
        assert connection.is_closed_by_broker(limit=15)
    wait_until(lambda: broker.metrics()["martlet_connections_closed_total", ()] >= 1, 5, "the count")
