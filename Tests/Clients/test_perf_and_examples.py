"""What people start by hand: martlet perf, and the programs in Examples."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from clients import consume
from harness import BINARY, REPOSITORY

EXAMPLES = pathlib.Path(os.environ.get("MARTLET_EXAMPLES", str(REPOSITORY / ".build" / "debug")))


def perf(broker, *arguments, code=0):
    run = subprocess.run([BINARY, "perf", *arguments, "-b", broker.bootstrap], capture_output=True, text=True, timeout=60)
    assert run.returncode == code, run.stderr
    return run


def test_perf_reports_what_happened(broker, make_topic):
    """Counts are those of the topic, percentiles grow, and the sizes are those that were asked for."""
    topic = make_topic(broker, partitions=4)
    produced = json.loads(perf(broker, "produce", topic, "--records", "20000", "--size", "50", "--json").stdout)
    assert (produced["records"], produced["failed"], produced["bytes"]) == (20000, 0, 1_000_000)
    latency = produced["latencyMilliseconds"]
    steps = [latency[name] for name in ("p50", "p90", "p95", "p99", "p99.9", "p99.99", "maximum")]
    assert steps == sorted(steps) and steps[0] > 0
    assert latency["samples"] == 20000
    consumed = json.loads(perf(broker, "consume", topic, "--wait", "1000", "--json").stdout)
    assert 0 < consumed["records"] <= 20000 and consumed["bytes"] == 50 * consumed["records"]
    ways = json.loads(perf(broker, "end-to-end", topic, "--records", "200", "--json").stdout)
    assert ways["records"] == 200 and ways["latencyMilliseconds"]["samples"] == 200


def test_perf_keeps_the_rate_that_is_asked_for(broker, make_topic):
    produced = json.loads(
        perf(broker, "produce", make_topic(broker), "--records", "300", "--throughput", "200", "--json").stdout)
    assert 1.4 < produced["seconds"] < 6 and produced["latencyMilliseconds"]["samples"] == 300


def test_perf_prints_a_table_without_noise_in_a_pipe(broker, make_topic):
    run = perf(broker, "produce", make_topic(broker), "--records", "1000")
    assert run.stdout.startswith("MEASURED") and "p99.9" in run.stdout and "\x1b" not in run.stdout
    assert run.stderr == ""
    assert "there is no topic" in perf(broker, "produce", "missing", code=1).stderr
    assert perf(broker, "produce", "missing", "--records", "0", code=64).stdout == ""


def test_perf_draws_its_progress_on_a_terminal(broker, make_topic):
    """And leaves the table to whatever the standard output is."""
    topic = make_topic(broker)
    terminal, other_end = os.openpty()
    run = subprocess.Popen([BINARY, "perf", "produce", topic, "--records", "300", "--throughput", "300", "-b",
                            broker.bootstrap], stdout=subprocess.PIPE, stderr=other_end, text=True)
    os.close(other_end)
    drawn = b""
    try:
        while some := os.read(terminal, 4096):
            drawn += some
    except OSError:
        pass  # So a terminal says that nobody writes to it any more.
    finally:
        os.close(terminal)
    assert run.communicate(timeout=30)[0].startswith("MEASURED") and run.returncode == 0
    _, *steps, last, end = drawn.decode().split("\r")
    assert len(steps) > 1 and all(step.startswith("[") and " %, " in step for step in steps), steps
    assert "100 %, 300 records" in last and end == "\n"


def example(name, *arguments, **options):
    program = EXAMPLES / name
    if not program.exists():
        pytest.fail(f"{program} is missing: swift build --product {name}")
    return subprocess.run([program, *arguments], timeout=60, check=True, **options)


def produce_lines(broker, topic, lines):
    subprocess.run([BINARY, "produce", topic, "-b", broker.bootstrap], input="\n".join(lines) + "\n", text=True, check=True)


def test_word_count(broker, make_topic):
    """Counts go on where the run before ended."""
    lines, counts = make_topic(broker, partitions=2), make_topic(broker, partitions=1)
    for words in (["to be or not", "to be"], ["or else"]):
        produce_lines(broker, lines, words)
        example("WordCount", broker.bootstrap, lines, counts, "--until-idle")
    found = {}
    for message in consume("confluent", broker.bootstrap, counts, 6):
        found[message.key] = message.value
    assert found == {b"to": b"2", b"be": b"2", b"or": b"2", b"not": b"1", b"else": b"1"}


def test_exactly_once_copy(broker, make_topic):
    source, copy = make_topic(broker, partitions=1), make_topic(broker, partitions=1)
    lines = [f"line {number}" for number in range(500)]
    for part in (lines[:300], lines[300:]):
        produce_lines(broker, source, part)
        example("ExactlyOnceCopy", broker.bootstrap, source, copy, "--until-idle")
    assert sorted(m.value.decode() for m in consume("confluent", broker.bootstrap, copy, 500)) == sorted(lines)


def test_graceful_service(broker, make_topic):
    """SIGTERM ends it at once, with what it has seen committed and the group left."""
    topic = make_topic(broker, partitions=1)
    produce_lines(broker, topic, ["a", "b", "c"])
    service = subprocess.Popen(
        [EXAMPLES / "GracefulService", broker.bootstrap, topic], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen = 0
    for line in service.stdout:
        seen += "offset=" in line
        if seen == 3:
            break
    started = time.monotonic()
    service.send_signal(signal.SIGTERM)
    assert service.wait(10) == 0
    assert time.monotonic() - started < 5
    described = json.loads(subprocess.run(
        [BINARY, "groups", "describe", "graceful-service", "--json", "-b", broker.bootstrap], capture_output=True,
        text=True, check=True).stdout)
    assert described["members"] == []
    assert [(p["committed"], p["lag"]) for p in described["offsets"]] == [(3, 0)]
