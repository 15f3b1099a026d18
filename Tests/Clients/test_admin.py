"""Administration with the clients' own admin interfaces: what was asked for is done, what is wrong is refused."""

import time

import confluent_kafka
import kafka
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec)
from kafka.admin import ConfigResource as PythonResource

from clients import Message, consume, produce
from harness import unique, wait_until


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.bootstrap})


@pytest.fixture
def python_admin(broker):
    admin = kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield admin
    admin.close()


def code_of(future):
    """The error a future ends with; None when it ends well."""
    try:
        future.result(20)
        return None
    except KafkaException as error:
        return error.args[0].code()


def configs_of(admin, name, kind="topic"):
    resource = ConfigResource(kind, name)
    futures = admin.describe_configs([resource])
    return futures[resource].result(20)


# Topics


def test_create_describe_delete_recreate(broker, admin, make_topic):
    """A recreated topic is another topic: new id, no records, no configuration of the old one."""
    topic = make_topic(broker, partitions=3, retention_ms=1_000_000)
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"old", [], 1)])
    described = describe(admin, topic)
    assert [p.id for p in described.partitions] == [0, 1, 2]
    assert all(p.leader.id == 1 and [r.id for r in p.replicas] == [1] and [r.id for r in p.isr] == [1]
               for p in described.partitions)
    assert not described.is_internal
    admin.delete_topics([topic])[topic].result(20)
    assert topic not in admin.list_topics(timeout=10).topics
    make_topic(broker, name=topic)
    again = describe(admin, topic)
    assert str(again.topic_id) != str(described.topic_id)
    assert len(again.partitions) == 1
    assert configs_of(admin, topic)["retention.ms"].value == "604800000"
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"new", [], 1)])
    assert consume("confluent", broker.bootstrap, topic, 1)[0].value == b"new"


def describe(admin, topic):
    futures = admin.describe_topics(confluent_kafka.TopicCollection([topic]))
    return futures[topic].result(20)


def test_a_producer_survives_the_recreation_of_its_topic(broker, admin, make_topic):
    """A client that knows the old id learns the new one instead of writing into the void."""
    topic = make_topic(broker)
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, "topic.metadata.refresh.interval.ms":
                                         500, "retry.backoff.ms": 50})
    errors = []
    producer.produce(topic, b"old", on_delivery=lambda error, message: errors.append(error))
    assert producer.flush(10) == 0
    admin.delete_topics([topic])[topic].result(20)
    make_topic(broker, name=topic)

    def is_written():
        producer.produce(topic, b"new", on_delivery=lambda error, message: errors.append(error))
        return producer.flush(10) == 0 and errors[-1] is None

    wait_until(is_written, 20, "a produce to the new topic")
    assert consume("confluent", broker.bootstrap, topic, 1)[0].value == b"new"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "with space", "slash/inside", "ümlaut", "x" * 250, "a:b", "a\0b", "../up"])
def test_bad_topic_names(broker, python_admin, name):
    """A name that Kafka refuses is refused, before it becomes a path."""
    with pytest.raises(kafka.errors.InvalidTopicError):
        python_admin.create_topics({name: {"num_partitions": 1}})
    assert [path.name for path in broker.folder.iterdir() if path.is_dir()] == ["data"]
    assert [path.name for path in broker.data.iterdir() if path.is_dir()] == []


def test_longest_topic_name(broker, make_topic):
    """249 characters are allowed and work down to the file system."""
    name = make_topic(broker, name="n" * 249)
    produce("confluent", broker.bootstrap, name, [Message(b"k", b"v", [], 1)])
    broker.restart()
    assert consume("confluent", broker.bootstrap, name, 1)[0].value == b"v"


def test_refused_topics(broker, admin, python_admin, make_topic):
    """Each refusal has Kafka's error code."""
    topic = make_topic(broker)
    name = unique("refused")
    cases = [
        (NewTopic(topic, 1, 1), KafkaError.TOPIC_ALREADY_EXISTS),
        (NewTopic(name, 1, 2), KafkaError.INVALID_REPLICATION_FACTOR),
        (NewTopic(name, 0, 1), KafkaError.INVALID_PARTITIONS),
        (NewTopic(name, 1, 1, config={"no.such.configuration": "1"}), KafkaError.INVALID_CONFIG),
        (NewTopic(name, 1, 1, config={"retention.ms": "soon"}), KafkaError.INVALID_CONFIG),
        (NewTopic(name, 1, 1, config={"segment.bytes": "-1"}), KafkaError.INVALID_CONFIG),
        (NewTopic(name, 1, 1, config={"cleanup.policy": "shred"}), KafkaError.INVALID_CONFIG),
    ]
    outcomes = []
    for new, expected in cases:
        outcomes.append((code_of(admin.create_topics([new])[new.topic]), expected))
    assert [got for got, _ in outcomes] == [expected for _, expected in outcomes]
    with pytest.raises(kafka.errors.InvalidReplicationAssignmentError):
        python_admin.create_topics({name: {"assignments": {0: [9]}}})
    assert name not in admin.list_topics(timeout=10).topics
    assert code_of(admin.delete_topics([name])[name]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_validate_only_makes_nothing(admin):
    """validate_only answers as if and leaves no trace."""
    name = unique("only")
    admin.create_topics([NewTopic(name, 3, 1)], validate_only=True)[name].result(20)
    assert name not in admin.list_topics(timeout=10).topics


def test_partitions_grow_but_do_not_shrink(broker, admin, make_topic):
    """New partitions work at once; fewer or as many as before are refused."""
    topic = make_topic(broker, partitions=2)
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(20)
    assert len(describe(admin, topic).partitions) == 5
    produce("kafka-python", broker.bootstrap, topic, [Message(b"k", b"v", [], 1)], partition=4)
    assert consume("aiokafka", broker.bootstrap, topic, 1, partition=4)[0].value == b"v"
    assert code_of(admin.create_partitions([NewPartitions(topic, 5)])[topic]) == KafkaError.INVALID_PARTITIONS
    assert code_of(admin.create_partitions([NewPartitions(topic, 3)])[topic]) == KafkaError.INVALID_PARTITIONS
    missing = unique("missing")
    assert code_of(admin.create_partitions([NewPartitions(missing, 3)])[missing]) == KafkaError.UNKNOWN_TOPIC_OR_PART


# Configurations


def incrementally(admin, topic, *entries):
    resource = ConfigResource("topic", topic, incremental_configs=[
        ConfigEntry(name, value, incremental_operation=operation) for name, value, operation in entries])
    futures = admin.incremental_alter_configs([resource])
    return futures[resource]


def test_incremental_changes_of_a_topics_configuration(broker, admin, make_topic):
    """Set, append, subtract, delete; each alone, leaving the others; wrong values change nothing."""
    topic = make_topic(broker, retention_ms=5_000_000)
    operations = AlterConfigOpType
    incrementally(admin, topic, ("max.message.bytes", "5000", operations.SET),
                  ("cleanup.policy", "compact", operations.APPEND)).result(20)
    configs = configs_of(admin, topic)
    assert configs["max.message.bytes"].value == "5000"
    assert configs["max.message.bytes"].source == confluent_kafka.admin.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert set(configs["cleanup.policy"].value.split(",")) == {"compact", "delete"}
    assert configs["retention.ms"].value == "5000000"
    with pytest.raises(KafkaException) as caught:
        produce("confluent", broker.bootstrap, topic, [Message(b"k", b"v" * 6000, [], 1)])
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    incrementally(admin, topic, ("max.message.bytes", None, operations.DELETE),
                  ("cleanup.policy", "compact", operations.SUBTRACT)).result(20)
    configs = configs_of(admin, topic)
    assert (configs["max.message.bytes"].value, configs["cleanup.policy"].value) == ("1048588", "delete")
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"v" * 6000, [], 1)])
    for name, value in [("retention.ms", "never"), ("segment.bytes", "1"), ("no.such.thing", "1"),
                        ("compression.type", "rar"), ("min.cleanable.dirty.ratio", "2")]:
        assert code_of(incrementally(admin, topic, (name, value, operations.SET))) == KafkaError.INVALID_CONFIG, name
    # One wrong change spoils the request: the right one beside it is not made.
    assert code_of(incrementally(admin, topic, ("retention.ms", "77", operations.SET),
                                 ("segment.bytes", "x", operations.SET))) == KafkaError.INVALID_CONFIG
    assert configs_of(admin, topic)["retention.ms"].value == "5000000"


def test_old_alter_configs_replaces_everything(broker, admin, make_topic):
    """AlterConfigs, the older one, resets what it does not name."""
    topic = make_topic(broker, retention_ms=5_000_000)
    resource = ConfigResource("topic", topic, set_config={"max.message.bytes": "7777"})
    futures = admin.alter_configs([resource])
    futures[resource].result(20)
    configs = configs_of(admin, topic)
    assert (configs["max.message.bytes"].value, configs["retention.ms"].value) == ("7777", "604800000")


def test_configurations_with_kafka_python(broker, python_admin, make_topic):
    """The other client's newer versions of the same requests, synonyms included."""
    topic = make_topic(broker)
    python_admin.alter_configs([PythonResource("TOPIC", topic, configs={"retention.ms": "123456"})])
    described = python_admin.describe_configs([PythonResource("TOPIC", topic)], include_synonyms=True,
                                              config_filter="all")["topic"][topic]
    assert described["retention.ms"]["value"] == "123456"
    assert described["retention.ms"]["config_source"] == "DYNAMIC_TOPIC_CONFIG"
    assert described["segment.bytes"]["value"] == "1073741824"
    assert [s["name"] for s in described["retention.ms"]["synonyms"]][0] == "retention.ms"


def test_broker_configurations(broker, admin):
    """What was set at the start shows with its source and cannot be changed; a default for topics can."""
    configs = configs_of(admin, "1", "broker")
    assert configs["group.initial.rebalance.delay.ms"].value == "0"
    assert configs["log.segment.bytes"].value == "1073741824"
    assert configs["listeners"].is_read_only
    missing = ConfigResource("topic", unique("missing"))
    futures = admin.describe_configs([missing])
    assert code_of(futures[missing]) == KafkaError.UNKNOWN_TOPIC_OR_PART


# Offsets and records


def test_list_offsets(broker, admin, make_topic):
    """Earliest, latest, by time and the largest timestamp, which need not be the last record's."""
    topic = make_topic(broker)
    base = 1_700_000_000_000
    times = [10, 20, 50, 30, 40]
    for time_offset in times:
        produce("confluent", broker.bootstrap, topic, [Message(b"k", b"v", [], base + time_offset)])

    def look_up(spec):
        place = TopicPartition(topic, 0)
        futures = admin.list_offsets({place: spec})
        result = futures[place].result(20)
        return result.offset, result.timestamp

    assert look_up(OffsetSpec.earliest())[0] == 0
    assert look_up(OffsetSpec.latest())[0] == 5
    assert look_up(OffsetSpec.max_timestamp()) == (2, base + 50)
    assert look_up(OffsetSpec.for_timestamp(base + 15)) == (1, base + 20)
    assert look_up(OffsetSpec.for_timestamp(base + 21)) == (2, base + 50)
    assert look_up(OffsetSpec.for_timestamp(0)) == (0, base + 10)
    assert look_up(OffsetSpec.for_timestamp(base + 51))[0] == -1
    # And the consumers' way to ask.
    place = kafka.TopicPartition(topic, 0)
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap)
    assert consumer.offsets_for_times({place: base + 15})[place].offset == 1
    assert consumer.offsets_for_times({place: base + 51})[place] is None
    assert (consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]) == (0, 5)
    consumer.close()


def test_delete_records(broker, admin, make_topic):
    """Records before the offset are gone for every reader, for good; an offset beyond the end is refused."""
    topic = make_topic(broker)
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"%d" % i, [], 1) for i in range(100)])

    def delete(offset):
        place = TopicPartition(topic, 0, offset)
        futures = admin.delete_records([place])
        return list(futures.values())[0]

    assert delete(40).result(20).low_watermark == 40
    assert [m.offset for m in consume("confluent", broker.bootstrap, topic, 60)] == list(range(40, 100))
    assert code_of(delete(101)) == KafkaError.OFFSET_OUT_OF_RANGE
    # An offset before the start changes nothing.
    assert delete(10).result(20).low_watermark == 40
    broker.kill_and_start()
    assert consume("kafka-python", broker.bootstrap, topic, 1)[0].offset == 40
    # -1 is the end. A new client: librdkafka's admin interface gives up when its connection was lost meanwhile.
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert delete(-1).result(20).low_watermark == 100
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"after", [], 1)])
    assert [(m.offset, m.value) for m in consume("aiokafka", broker.bootstrap, topic, 1)] == [(100, b"after")]


def test_group_offsets(broker, admin, python_admin, make_topic):
    """Alter, list and delete the offsets of an empty group; a group with offsets can be deleted; of a group with
    members that read the topic nothing is altered."""
    topic = make_topic(broker, partitions=3)
    group = unique("group")
    places = [TopicPartition(topic, p, 10 + p) for p in range(3)]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result(20)

    def offsets():
        listed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(20)
        return {p.partition: p.offset for p in listed.topic_partitions}

    assert offsets() == {0: 10, 1: 11, 2: 12}
    place = kafka.TopicPartition(topic, 1)
    assert python_admin.list_group_offsets({group: [place]})[group][place].offset == 11
    python_admin.delete_group_offsets(group, [place])
    assert offsets() == {0: 10, 2: 12}

    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    consumer.subscribe([topic])
    wait_until(lambda: consumer.poll(0.1) is not None or consumer.assignment(), 20, "the assignment")
    refused = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result(20)
    assert {p.error.code() for p in refused.topic_partitions} == {KafkaError.UNKNOWN_MEMBER_ID}
    consumer.close()
    assert code_of(admin.delete_consumer_groups([group])[group]) is None
    assert offsets() == {}
    missing = unique("missing")
    assert code_of(admin.delete_consumer_groups([missing])[missing]) == KafkaError.GROUP_ID_NOT_FOUND


def test_offsets_of_a_deleted_topic_are_forgotten(broker, admin, make_topic):
    """A group must not begin in the middle of a recreated topic."""
    topic = make_topic(broker)
    group = unique("group")
    admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 5)])])[group].result(20)
    admin.delete_topics([topic])[topic].result(20)
    make_topic(broker, name=topic)

    def committed():
        listed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(20)
        return [p.offset for p in listed.topic_partitions if p.offset >= 0]

    wait_until(lambda: committed() == [], 10, "the offset's removal")


# The cluster


def test_describe_cluster(broker, admin, python_admin):
    """One node, which is the controller, under the address that the client connected to; the id survives restarts."""
    cluster = admin.describe_cluster().result(20)
    assert [(n.id, n.host, n.port) for n in cluster.nodes] == [(1, "127.0.0.1", broker.port)]
    assert cluster.controller.id == 1
    python = python_admin.describe_cluster()
    assert python["cluster_id"] == cluster.cluster_id
    broker.kill_and_start()
    assert admin.describe_cluster().result(20).cluster_id == cluster.cluster_id


def test_log_directories(broker, python_admin, make_topic):
    """DescribeLogDirs shows the folder and each partition's size, which follows what is written."""
    topic = make_topic(broker, partitions=2)
    produce("confluent", broker.bootstrap, topic, [Message(b"k", b"x" * 10_000, [], 1)], partition=1)
    (node,) = python_admin.describe_log_dirs([topic])
    (directory,) = node["results"] if "results" in node else node["log_dirs"]
    sizes = {p["partition_index"]: p["partition_size"] for t in directory["topics"] for p in t["partitions"]}
    assert directory["log_dir"] == str(broker.data)
    assert sizes[0] == 0 and 10_000 < sizes[1] < 11_000
    assert directory["total_bytes"] > directory["usable_bytes"] > 0


def test_configuration_at_run_time_reaches_the_log(broker, admin, make_topic):
    """retention.ms lowered while records are there makes them go. Catches a change that is stored but not applied."""
    broker.stop()
    broker.settings["log.retention.check.interval.ms"] = "200"
    broker.start()
    topic = make_topic(broker, segment_bytes=2000)
    now = int(time.time() * 1000)
    for i in range(10):
        produce("confluent", broker.bootstrap, topic, [Message(b"k", b"x" * 1000, [], now - 100_000)])
    place = TopicPartition(topic, 0)

    def start():
        futures = admin.list_offsets({place: OffsetSpec.earliest()})
        return futures[place].result(20).offset

    assert start() == 0
    incrementally(admin, topic, ("retention.ms", "50000", AlterConfigOpType.SET)).result(20)
    wait_until(lambda: start() >= 8, 20, "the removal of old records")
