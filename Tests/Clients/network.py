"""A network of the cluster's own: each node in a network namespace, behind a cable that can be cut."""

import atexit
import contextlib
import ctypes
import os
import random
import subprocess
import threading

CLONE_NEWNET = 0x40000000
# Nobody has it: what is sent there gets lost without a word.
NOBODYS_ADDRESS = "02:00:00:00:00:66"


class Refused(Exception):
    """Namespaces cannot be made here."""


def ip(*arguments):
    result = subprocess.run(["ip", *map(str, arguments)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Refused(f"ip {' '.join(map(str, arguments))}: {result.stderr.strip()}")


class Network:
    """Namespaces on a bridge. The tests' process and etcd are on the bridge itself."""

    def __init__(self, count):
        # The interfaces' names have at most 15 characters; the addresses are reserved for measurements of networks.
        number = random.SystemRandom().randrange(1 << 16)
        self.bridge = f"mt{number:04x}"
        self.subnet = f"198.{18 + number % 2}.{number >> 8}"
        self.address = f"{self.subnet}.100"
        self.members = range(1, count + 1)
        self.made = contextlib.ExitStack()
        # Whoever interrupts a test while it cleans up ends that, too.
        atexit.register(self.made.close)
        try:
            self._make(number)
        except BaseException:
            self.made.close()
            raise

    def _make(self, number):
        ip("link", "add", self.bridge, "type", "bridge")
        self.made.callback(ip, "link", "del", self.bridge)
        ip("addr", "add", f"{self.address}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        for member in self.members:
            namespace, cable = self.namespace(member), self.cable(member)
            ip("netns", "add", namespace)
            self.made.callback(ip, "netns", "del", namespace)
            ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            # It would go with its namespace, but some time later.
            self.made.callback(ip, "link", "del", cable)
            ip("link", "set", cable, "master", self.bridge, "up")
            ip("-n", namespace, "addr", "add", f"{self.host(member)}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "lo", "up")
            ip("-n", namespace, "link", "set", "eth0", "up")

    def close(self):
        self.made.close()

    def namespace(self, member):
        return f"{self.bridge}-{member}"

    def cable(self, member):
        """Its end at the bridge."""
        return f"{self.bridge}v{member}"

    def host(self, member):
        return f"{self.subnet}.{member}"

    def prefix(self, member):
        """What begins a command that shall run there."""
        return ["ip", "netns", "exec", self.namespace(member)]

    # Faults

    def cut(self, member):
        """Neither heard nor hearing."""
        ip("link", "set", self.cable(member), "down")

    def mute(self, member):
        """It hears everybody, and nobody hears it."""
        for address in self._others(member):
            ip("-n", self.namespace(member), "neigh", "replace", address, "lladdr", NOBODYS_ADDRESS, "dev", "eth0",
               "nud", "permanent")

    def deafen(self, member):
        """Everybody hears it, and it hears nobody."""
        for place in self._places(member):
            ip(*place, "neigh", "replace", self.host(member), "lladdr", NOBODYS_ADDRESS, "dev", self._device(place),
               "nud", "permanent")

    def heal(self, member):
        ip("link", "set", self.cable(member), "up")
        for address in self._others(member):
            self._learn(["-n", self.namespace(member)], address)
        for place in self._places(member):
            self._learn(place, self.host(member))

    def _learn(self, place, address):
        # There may be nothing to forget.
        with contextlib.suppress(Refused):
            ip(*place, "neigh", "del", address, "dev", self._device(place))

    def _others(self, member):
        return [self.address, *(self.host(other) for other in self.members if other != member)]

    def _places(self, member):
        """Where others are, as `ip` is told."""
        return [[], *(["-n", self.namespace(other)] for other in self.members if other != member)]

    def _device(self, place):
        return "eth0" if place else self.bridge

    # Within

    def within(self, member, work):
        """What `work` returns when it runs in the member's namespace. What it opens stays there."""
        outcome = []

        def run():
            # Of this thread alone, which ends with it.
            library = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.namespace(member)}") as file:
                if library.setns(file.fileno(), CLONE_NEWNET) != 0:
                    outcome.append((None, OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))))
                    return
            try:
                outcome.append((work(), None))
            except Exception as error:
                outcome.append((None, error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        (value, error), = outcome
        if error:
            raise error
        return value
