"""Records what clients did and were told, for check-history (Tests/HistoryChecker/README.md).

Each process of the history writes a file of its own, in two steps: what it asks for before it asks, the answer when it
has come. So a process that is killed leaves what it had asked for, which is then of unknown outcome."""

import itertools
import json
import os
import pathlib
import subprocess
import threading
import time

from harness import REPOSITORY

CHECKER = os.environ.get("MARTLET_HISTORY_CHECKER", str(REPOSITORY / ".build" / "debug" / "check-history"))

# These wait for an answer; the others are what the client has seen.
ASKED = ("send", "transaction-end", "offset-commit")


class Recorder:
    """The events of one or more processes of the history that live in one process of the system."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        self.lock = threading.Lock()
        self.numbers = itertools.count()

    def ask(self, kind, process, **fields):
        """Before the client asks; returns what `answered` wants."""
        assert kind in ASKED
        number = next(self.numbers)
        self._write({"number": number, "invoked": time.monotonic_ns(), "event": {
            "type": kind, "process": process, **fields}})
        return number

    def answered(self, number, outcome, **fields):
        self._write({"number": number, "completed": time.monotonic_ns(), "fields": {"outcome": outcome, **fields}})

    def saw(self, kind, process, since=None, **fields):
        """What the client has been given, and when it had asked for that."""
        assert kind not in ASKED
        now = time.monotonic_ns()
        self._write({"event": {"type": kind, "process": process, "time": [since or now, now], **fields}})

    def _write(self, line):
        with self.lock:
            self.file.write(json.dumps(line) + "\n")

    def close(self):
        self.file.close()


def place(topic, partition):
    return {"topic": topic, "partition": partition}


def events(paths):
    """The events of all files as check-history wants them. What was never answered is unknown."""
    end = time.monotonic_ns()
    found = []
    for path in paths:
        asked = {}
        for text in pathlib.Path(path).read_text().splitlines(keepends=True):
            if not text.endswith("\n"):
                break  # Its process was killed while it wrote.
            line = json.loads(text)
            if "completed" in line:
                event = asked.pop(line["number"])
                event.update(line["fields"])
                event["time"][1] = line["completed"]
                continue
            event = line["event"]
            if "invoked" in line:
                event.update(time=[line["invoked"], end], outcome="unknown")
                asked[line["number"]] = event
            found.append(event)
    return found


def check(folder, found, *arguments):
    """The checker's verdict on the events, a list of anomalies."""
    assert pathlib.Path(CHECKER).exists(), f"{CHECKER} is missing: swift build --product check-history"
    file = pathlib.Path(folder) / "history.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in found))
    result = subprocess.run([CHECKER, str(file), "--json", *arguments], capture_output=True, timeout=60, text=True,
                            check=False)
    assert result.returncode in (0, 1), result.stderr
    anomalies = [json.loads(line) for line in result.stdout.splitlines()]
    assert bool(anomalies) == (result.returncode == 1)
    return anomalies
