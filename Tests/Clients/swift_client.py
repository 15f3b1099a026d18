"""The Swift client in processes of its own (Tests/SwiftHistoryClient)."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from harness import REPOSITORY, wait_until

PROGRAM = os.environ.get("MARTLET_SWIFT_CLIENT", str(REPOSITORY / ".build" / "debug" / "swift-history-client"))


def command(mode, bootstrap, *arguments, **options):
    """The command line; an option of several values is a list."""
    assert pathlib.Path(PROGRAM).exists(), f"{PROGRAM} is missing: swift build --product swift-history-client"
    line = [PROGRAM, mode, "--brokers", bootstrap]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            line += [f"--{name.replace('_', '-')}", str(each)]
    return line + list(arguments)


class SwiftProcess:
    """One that tells what it does in lines of JSON."""

    def __init__(self, folder, mode, bootstrap, *arguments, **options):
        self.folder = pathlib.Path(folder)
        self.errors = self.folder / f"{mode}-{time.monotonic_ns()}.err"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                command(mode, bootstrap, *arguments, **options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.heard(json.loads(line))

    def heard(self, message):
        self.lines.append(message)

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ends(self, limit, code=0):
        """It ends by itself within the limit."""
        try:
            found = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            stacks = self.stacks()
            self.kill()
            raise AssertionError(f"it does not end within {limit} s; {self.says()}\n{stacks}")
        self.reader.join(10)
        assert found == code, f"it ended with {found}: {self.says()}"
        return self

    def terminate(self, limit=20):
        self.process.send_signal(signal.SIGTERM)
        return self.ends(limit)

    def says(self):
        return f"last {self.lines[-1:]}, errors:\n{self.errors.read_text(errors='replace')[-3000:]}"

    def stacks(self):
        """Where its threads are, for whoever looks for a hang; empty without a debugger."""
        if not os.environ.get("MARTLET_STACKS"):
            return ""
        result = subprocess.run(["lldb", "-p", str(self.process.pid), "--batch", "-o", "bt all"], capture_output=True,
                                text=True, timeout=120, check=False)
        return result.stdout


class SwiftLoad(SwiftProcess):
    """Writers and readers in one process. Each must get on after each disturbance, and end when told."""

    def __init__(self, folder, bootstrap, topic, partitions, **options):
        self.history = pathlib.Path(folder) / f"swift-{time.monotonic_ns()}.jsonl"
        self.report = None
        super().__init__(folder, "load", bootstrap, topic=topic, partitions=partitions, history=self.history,
                         **options)

    def heard(self, message):
        self.report = message

    @property
    def clients(self):
        return self.report["clients"]

    def check(self):
        assert self.process.poll() is None, f"it ended by itself: {self.says()}"
        problems = {name: client["problem"] for name, client in self.clients.items() if "problem" in client}
        assert not problems, f"{problems}\n{self.says()}"

    def wait_for_progress(self, limit=40, kinds=("",)):
        """Until each client has got on. Readers only get on with new records."""
        wait_until(lambda: self.report, 20, "a first report")

        def state():
            return {name: client["seen"] or client["rounds"] for name, client in self.clients.items()
                    if any(kind in name for kind in kinds)}

        before, end = state(), time.monotonic() + limit
        while behind := [name for name, now in state().items() if now <= before[name]]:
            self.check()
            assert time.monotonic() < end, f"no progress within {limit} s: {behind}; {self.says()}"
            time.sleep(0.02)

    def total(self, field, kind=""):
        return sum(client[field] for name, client in self.clients.items() if kind in name)

    def end_writers(self, limit=30):
        self.order("writers")
        wait_until(lambda: self.report["writersHaveEnded"], limit, "the writers' end")
        self.check()

    def wait_for_groups(self, count, limit=30):
        """Until the members of each group have been given all records, one or the other of them."""
        try:
            wait_until(lambda: all(seen >= count for seen in self.report["groups"].values()), limit,
                       "groups that have everything")
        except AssertionError as error:
            raise AssertionError(f"{error}; {count} records, {self.report['groups']}") from None
        self.check()
        assert all(seen == count for seen in self.report["groups"].values()), (count, self.report["groups"])

    def finish(self, limit=30):
        self.check()
        self.order("all")
        self.ends(limit)
        problems = {name: client["problem"] for name, client in self.clients.items() if "problem" in client}
        assert not problems, problems
