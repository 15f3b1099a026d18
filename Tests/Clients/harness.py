"""Runs a broker as its users do: the real binary, its own folder, its own port."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("MARTLET_BINARY", str(REPOSITORY / ".build-release" / "release" / "martlet"))

# The suite's own limits, seconds. Generous: they bound a failure, they do not measure.
START_LIMIT = 20
STOP_LIMIT = 20


def unique(prefix):
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def wait_until(condition, limit=20, what="the condition", step=0.02):
    """Returns the condition's first true value; fails when there is none in `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {limit} s; last value: {value!r}")
        time.sleep(step)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One broker process after another over one data folder and one port."""

    def __init__(self, folder=None, settings=None, data=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="martlet-"))
        self.data = data or self.folder / "data"
        # Where it listens, and what its command begins with when it lives in a network of its own.
        self.host, self.prefix = "127.0.0.1", []
        self.port = free_port()
        self.metrics_port = free_port()
        # A test that waits for more members says so; the others need not wait 3 s for each new group.
        self.settings = {"group.initial.rebalance.delay.ms": "0", **(settings or {})}
        self.process = None
        self.runs = []
        self.limits = None
        self.arguments = []
        self.allowed_errors = []
        self.unexpected_exits = []

    @property
    def bootstrap(self):
        return f"{self.host}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    # Life

    def start(self):
        assert self.process is None, "the broker runs already"
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self):
        """Starts it without waiting for it."""
        log = self.folder / f"broker-{len(self.runs)}.log"
        self.runs.append(log)
        settings = {"metrics.listener": f"{self.host}:{self.metrics_port}", **self.settings}
        command = [*self.prefix, BINARY, "server", "--data", str(self.data), *self.listen_arguments()]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        command += self.arguments
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=self.limits)

    def listen_arguments(self):
        return ["--listen", self.bootstrap]

    def wait_until_ready(self, limit=START_LIMIT):
        def is_ready():
            assert self.process.poll() is None, f"the broker ended at its start:\n{self.log()}"
            return "node.ready" in self.log()

        wait_until(is_ready, limit, "node.ready")

    def stop(self):
        """SIGTERM, which must end it cleanly."""
        process, self.process = self.process, None
        self._note_crash(process)
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the broker did not stop within {STOP_LIMIT} s of SIGTERM:\n{self.log()}")
        # One that has not said a word has not begun: the signal came before anybody could listen to it.
        has_begun = bool(self.log().strip())
        assert code == 0 or (code == -signal.SIGTERM and not has_begun), (
            f"the broker ended with {code} after SIGTERM:\n{self.log()}")

    def kill(self):
        """SIGKILL: what was not handed to the kernel is gone."""
        process, self.process = self.process, None
        self._note_crash(process)
        process.kill()
        process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def kill_and_start(self):
        self.kill()
        return self.start()

    def _note_crash(self, process):
        code = process.poll()
        if code is not None:
            self.unexpected_exits.append(f"the broker ended by itself with {code}:\n{self.log()[-4000:]}")

    # What it says

    def log(self, run=-1):
        return self.runs[run].read_text(errors="replace") if self.runs else ""

    def allow_error(self, pattern):
        """A test that provokes an error in the log names it."""
        self.allowed_errors.append(re.compile(pattern))

    def complaints(self):
        lines = [line for run in self.runs for line in run.read_text(errors="replace").splitlines()]
        bad = [line for line in lines if re.search(r" (error|critical) martlet|Fatal error|fatalError|Crash", line)]
        return [line for line in bad if not any(p.search(line) for p in self.allowed_errors)]

    def rss(self):
        """Resident memory, bytes."""
        return self._status("VmRSS")

    def peak_rss(self):
        return self._status("VmHWM")

    def _status(self, field):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE).group(1)) * 1024

    def http(self, path):
        """(status, body)"""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.metrics_port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """{(name, ((label, value), …)): number}; a line that is no Prometheus text fails."""
        status, body = self.http("/metrics")
        assert status == 200
        return parse_metrics(body)

    # Its end

    def finish(self):
        """Ends it and says what was wrong."""
        problems = []
        if self.process is not None:
            try:
                self.stop()
            except AssertionError as error:
                problems.append(str(error))
        problems += self.unexpected_exits
        complaints = self.complaints()
        if complaints:
            problems.append("the broker logged:\n" + "\n".join(complaints[:20]))
        assert not problems, "\n".join(problems)


_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text):
    values = {}
    declared = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge", "histogram"), line
            assert name not in declared, f"{name} is declared twice"
            declared[name] = kind
            continue
        if line.startswith("# HELP ") or not line:
            continue
        match = _SAMPLE.match(line)
        assert match, f"not a Prometheus sample: {line!r}"
        name, labels, number = match.groups()
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in declared or declared.get(family) == "histogram", f"{name} has no TYPE"
        pairs = tuple(sorted(_LABEL.findall(labels or "")))
        assert (labels or "") == "" or ",".join(f'{k}="{v}"' for k, v in _LABEL.findall(labels)) == labels, line
        assert (name, pairs) not in values, f"{line!r} comes twice"
        values[name, pairs] = float(number)
    return values
