import logging
import os
import shutil

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import cluster
import harness

# The clients tell of each connection that a killed broker ends; that is what those tests are about.
for name in ("kafka", "aiokafka"):
    logging.getLogger(name).setLevel(logging.CRITICAL)


@pytest.fixture
def make_broker(tmp_path):
    """Brokers with settings of their own. At the test's end each must stop cleanly and have nothing to complain of."""
    brokers = []

    def make(settings=None, start=True, data=None):
        folder = tmp_path / f"broker-{len(brokers)}"
        folder.mkdir()
        broker = harness.Broker(folder, settings, data)
        brokers.append(broker)
        return broker.start() if start else broker

    yield make
    problems = []
    for broker in brokers:
        try:
            broker.finish()
        except AssertionError as error:
            problems.append(str(error))
    if not os.environ.get("MARTLET_KEEP"):
        shutil.rmtree(tmp_path, ignore_errors=True)
    assert not problems, "\n".join(problems)


@pytest.fixture
def broker(make_broker):
    return make_broker()


@pytest.fixture
def make_topic():
    """Creates a topic with confluent-kafka and returns its name."""

    def make(broker, partitions=1, name=None, **configuration):
        name = name or harness.unique("topic")
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        config = {key.replace("_", "."): str(value) for key, value in configuration.items()}
        created = admin.create_topics([NewTopic(name, partitions, 1, config=config)], request_timeout=20)
        created[name].result(20)
        return name

    return make


@pytest.fixture
def make_cluster(tmp_path):
    """Clusters with settings of their own. At the test's end each node must stop cleanly and have nothing to complain
    of."""
    clusters = []

    def make(count=3, settings=None, start=True, **options):
        made = cluster.Cluster(tmp_path / f"cluster-{len(clusters)}", count, settings, **options)
        clusters.append(made)
        return made.start() if start else made

    yield make
    problems = []
    for made in clusters:
        try:
            made.finish()
        except AssertionError as error:
            problems.append(str(error))
    if not os.environ.get("MARTLET_KEEP"):
        shutil.rmtree(tmp_path, ignore_errors=True)
    assert not problems, "\n".join(problems)
