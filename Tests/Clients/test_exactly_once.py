"""Consume, transform, produce, while brokers and workers are killed: each input has exactly one output."""

import random
import time

import pytest

from transformation import transform_while

KILLS = 20

SETTINGS = {"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4",
            "group.min.session.timeout.ms": "1000"}


@pytest.mark.timeout(200)
def test_exactly_once_over_twenty_kills_of_brokers_and_workers(make_broker, make_topic, tmp_path):
    """The broker is killed twenty times and workers are killed twenty times, at random times."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    broker = make_broker(SETTINGS)

    def disturb(slots):
        events = ["broker"] * KILLS + ["worker"] * KILLS
        chance.shuffle(events)
        for event in events:
            time.sleep(chance.uniform(0.05, 1.5))
            if event == "broker":
                broker.kill_and_start()
            else:
                slot = chance.choice(slots)
                slot.kill()
                slot.start()
            for slot in slots:
                slot.tend()

    transform_while(disturb, broker, make_topic, tmp_path / "histories", f"seed {seed}")
