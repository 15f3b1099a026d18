"""A group's member in a process of its own, so that it can be killed: prints what it gets, one JSON object a line.

Arguments: bootstrap servers, topic, and a JSON object of confluent-kafka's configurations; a topic that begins with
^ is a pattern. Commits after each message, in order, before it prints the next one."""

import json
import signal
import sys

import confluent_kafka


def say(**event):
    print(json.dumps(event), flush=True)


def main():
    bootstrap, topic, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    is_running = True

    def stop(*_):
        nonlocal is_running
        is_running = False

    signal.signal(signal.SIGTERM, stop)
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "auto.offset.reset": "earliest", "enable.auto.commit": False, **options})
    consumer.subscribe(
        [topic],
        on_assign=lambda c, partitions: say(assigned=[[p.topic, p.partition] for p in partitions]),
        on_revoke=lambda c, partitions: say(revoked=[[p.topic, p.partition] for p in partitions]),
        on_lost=lambda c, partitions: say(revoked=[[p.topic, p.partition] for p in partitions]))
    say(started=True)
    while is_running:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            say(error=str(message.error()))
            continue
        say(topic=message.topic(), partition=message.partition(), offset=message.offset(),
            value=message.value().decode())
        try:
            consumer.commit(message=message, asynchronous=False)
            say(committed=message.offset() + 1, partition=message.partition())
        except confluent_kafka.KafkaException as error:
            # Another member has the partition by now, or the broker is away; the message comes again.
            say(not_committed=str(error))
    consumer.close()
    say(closed=True)


main()
