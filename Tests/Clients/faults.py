"""Faults of a cluster, chosen by chance from a seed: what happens to which node, and for how long."""

import dataclasses
import random
import time

from cluster import SESSION_SECONDS


@dataclasses.dataclass
class Fault:
    kind: str
    # Of a node: its id; "etcd" and "all" else.
    target: object
    seconds: float
    detail: tuple = ()

    def __str__(self):
        return f"{self.kind} {self.target} {' '.join(map(str, self.detail))} for {self.seconds:.2f} s"


@dataclasses.dataclass
class Draw:
    """All that chance decides about a fault, drawn before anything is looked at: so a seed gives the same schedule, of
    which some cannot happen when their time comes."""

    kind: str
    # The first of its kind.
    is_first: bool
    role: str
    topic: str
    other: float
    pick: float
    seconds: dict
    is_long: bool
    link: str
    mode: str
    reset: bool


# How often each, of all.
KINDS = {"kill": 24, "freeze": 14, "stall": 6, "restart": 10, "isolate": 8, "cut": 16, "separate": 8, "etcd-kill": 4,
         "etcd-freeze": 4, "etcd-cut": 4, "kill-all": 2}
WHOLE = ("etcd-kill", "etcd-freeze", "kill-all")
LINKS = ("clients", "nodes", "etcd")


class Faults:
    """Begins and ends them. A node has one at a time, and at most one node less than all have one."""

    def __init__(self, cluster, topics, seed):
        self.cluster, self.topics = cluster, topics
        self.chance = random.Random(seed)
        # When a wipe comes depends on what could happen before: it must not shift the other draws.
        self.chance_of_wipes = random.Random(seed)
        # Each kind happens once before weights decide, so that no run is without one of them.
        self.firsts = self.chance.sample(list(KINDS), len(KINDS))
        # One of these whose time has come and that cannot happen yet.
        self.waiting = None
        self.open = []
        self.counts = dict.fromkeys([*KINDS, "wipe"], 0)
        self.began = time.monotonic()
        self.told = []

    # Choosing

    def choose(self):
        """The next one; None when it cannot happen now. The first of a kind waits until it can."""
        draw, self.waiting = self.waiting or self._draw(), None
        fault = self._settle(draw)
        if fault is None and draw.is_first:
            self.waiting = draw
        return fault

    def _draw(self):
        is_first = bool(self.firsts)
        kind = self.firsts.pop() if is_first else self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        return Draw(
            kind, is_first,
            role=self.chance.choice(["leader", "leader", "controller", "any", "any"]),
            topic=self.chance.choice(self.topics),
            other=self.chance.random(),
            pick=self.chance.random(),
            seconds={"short": self.chance.uniform(0.05, 1), "long": SESSION_SECONDS + self.chance.uniform(0.2, 1.2)},
            is_long=self.chance.random() < 0.4,
            link=self.chance.choice(LINKS),
            mode=self.chance.choice(["cut", "requests", "answers"]),
            reset=self.chance.random() < 0.5)

    def _settle(self, draw):
        """What becomes of it in the cluster as it is; None when it cannot happen."""
        kind = draw.kind
        length = {"freeze": "long", "stall": "short"}.get(kind, "long" if draw.is_long else "short")
        seconds = 0 if kind == "restart" else draw.seconds[length]
        busy = {fault.target for fault, _ in self.open}
        if kind in WHOLE:
            if busy:
                return None
            return Fault(kind, "all" if kind == "kill-all" else "etcd", seconds)
        free = [node.id for node in self.cluster.nodes if node.id not in busy]
        if busy & {"etcd", "all"} or len(free) < 2:
            return None
        target = self._target(draw, free)
        others = [node.id for node in self.cluster.nodes if node.id != target]
        other = others[int(draw.other * len(others))]
        detail = {"cut": (draw.link, draw.mode, draw.reset), "isolate": (draw.reset,),
                  "etcd-cut": (draw.mode, draw.reset), "separate": (other, draw.mode, draw.reset)}.get(kind, ())
        return Fault(kind, target, seconds, detail)

    def _target(self, draw, free):
        wanted = None
        if draw.role != "any":
            try:
                view = self.cluster.metadata()
                wanted = view.controller if draw.role == "controller" else view.topics[draw.topic][0].leader
            except AssertionError:
                pass  # Nobody answers just now.
        return wanted if wanted in free else free[int(draw.pick * len(free))]

    # Happening

    def once(self):
        """Begins the next one, if there can be one now, and ends those whose time has come. Whether it began one."""
        self.end_due()
        fault = self.choose()
        if fault is None:
            return False
        self.tell("begins", fault)
        self.counts[fault.kind] += 1
        self._begin(fault)
        if fault.seconds == 0:
            self._end(fault)
        else:
            self.open.append((fault, time.monotonic() + fault.seconds))
        return True

    def wipe(self):
        """A node dies with its disk and comes back with an empty one. Only while all is well: where it is the last
        one in sync, or becomes it before its death is noticed, what it has is lost, as it would be with Kafka."""
        self.cluster.wait_until_healthy(60)
        fault = Fault("wipe", self.chance_of_wipes.choice(self.cluster.nodes).id, 0)
        self.tell("begins", fault)
        self.counts["wipe"] += 1
        node = self.cluster.node(fault.target)
        node.kill()
        node.wipe()
        self.cluster.launch([node])
        # Until then what the cluster says of it is about its former life.
        node.wait_until_ready(60)
        self.cluster.wait_until_healthy(60)

    def end_due(self, everything=False):
        for entry in [e for e in self.open if everything or e[1] <= time.monotonic()]:
            self.open.remove(entry)
            self.tell("ends", entry[0])
            self._end(entry[0])

    def end_all(self):
        while self.open:
            self.end_due()
            time.sleep(0.02)

    def tell(self, what, fault):
        self.told.append(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self.began:7.2f} {what} {fault}")
        with open(self.cluster.folder / "faults.log", "a") as file:
            file.write(self.told[-1] + "\n")

    def _begin(self, fault):
        cluster = self.cluster
        match fault.kind:
            case "kill":
                cluster.node(fault.target).kill()
            case "restart":
                cluster.node(fault.target).stop()
            case "freeze" | "stall":
                cluster.node(fault.target).freeze()
            case "etcd-kill":
                cluster.etcd.kill()
            case "etcd-freeze":
                cluster.etcd.freeze()
            case "kill-all":
                for node in cluster.nodes:
                    node.kill()
                cluster.etcd.kill()
            case _:
                self._set_links(fault, True)

    def _end(self, fault):
        cluster = self.cluster
        match fault.kind:
            case "kill" | "restart":
                cluster.launch([cluster.node(fault.target)])
            case "freeze" | "stall":
                cluster.node(fault.target).thaw()
            case "etcd-kill":
                cluster.etcd.start()
            case "etcd-freeze":
                cluster.etcd.thaw()
            case "kill-all":
                cluster.etcd.start()
                cluster.launch(cluster.nodes)
            case _:
                self._set_links(fault, False)

    def _set_links(self, fault, is_beginning):
        proxy = self.cluster.proxy
        mode = fault.detail[-2] if len(fault.detail) > 1 else "cut"
        reset = fault.detail[-1] and not is_beginning
        mode = mode if is_beginning else "pass"
        node = fault.target
        if fault.kind == "isolate":
            # Nobody reaches it, and it reaches nobody.
            for link in LINKS:
                proxy.set(f"{node}-{link}", mode, reset=reset)
            for other in self.cluster.nodes:
                if other.id != node:
                    proxy.set(f"{other.id}-nodes", mode, source=node, reset=reset)
        elif fault.kind == "separate":
            # Two nodes do not reach each other; all others do.
            other = fault.detail[0]
            proxy.set(f"{other}-nodes", mode, source=node, reset=reset)
            proxy.set(f"{node}-nodes", mode, source=other, reset=reset)
        else:
            link = "etcd" if fault.kind == "etcd-cut" else fault.detail[0]
            proxy.set(f"{node}-{link}", mode, reset=reset)
