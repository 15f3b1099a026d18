"""Forwards TCP connections and, when told so, lets nothing pass, or one direction only, without closing them.

A process of its own: its loop must not wait for the tests'. Links come as JSON in the argument, {name: [port, target]}.
Each line of the input is an order, answered with a line:

  {"link": NAME, "source": NODE or "*", "mode": "pass" | "cut" | "requests" | "answers", "reset": true}
  {"processes": {NODE: pid, …}}

"requests" lets requests pass and holds the answers, "answers" the reverse. What is held is delivered when it may pass
again, late, as TCP does it; or with `reset` the link's connections end. The source of a connection is the node whose
process has its other end, so that a pair of nodes can be separated."""

import asyncio
import json
import os
import sys

rules = {}
processes = {}
changed = asyncio.Event()
connections = set()


def is_held(source, link, is_request):
    mode = rules.get((source, link)) or rules.get(("*", link), "pass")
    return mode == "cut" or mode == ("answers" if is_request else "requests")


async def passage(source, link, is_request):
    while is_held(source, link, is_request):
        await changed.wait()


def owner(port):
    """The node whose process has a socket with this local port."""
    wanted = f"0100007F:{port:04X}"
    inode = None
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if fields[1] == wanted and fields[3] == "01":
                inode = f"socket:[{fields[9]}]"
    for node, pid in processes.items():
        try:
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                if os.readlink(descriptor.path) == inode:
                    return node
        except OSError:
            continue  # It has ended, or closed one meanwhile.
    return None


async def pump(reader, writer, source, link, is_request):
    try:
        while data := await reader.read(1 << 16):
            await passage(source, link, is_request)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    await passage(source, link, is_request)
    writer.close()


async def serve(link, target, reader, writer):
    # Only between nodes it matters which. To find out takes long, and clients try hundreds of times a second to reach a
    # node that is away: behind all that, the nodes would not reach etcd any more.
    source = owner(writer.get_extra_info("peername")[1]) if processes and link.endswith("-nodes") else None
    try:
        there, back = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        await passage(source, link, False)
        writer.close()
        return
    connection = (link, writer, back)
    connections.add(connection)
    try:
        await asyncio.gather(pump(reader, back, source, link, True), pump(there, writer, source, link, False))
    finally:
        connections.discard(connection)


def obey(order):
    if "processes" in order:
        processes.clear()
        processes.update(order["processes"])
        return
    rules[order["source"], order["link"]] = order["mode"]
    if order.get("reset"):
        for link, *writers in list(connections):
            if link == order["link"]:
                for writer in writers:
                    writer.transport.abort()
    changed.set()
    changed.clear()


async def main():
    for link, (port, target) in json.loads(sys.argv[1]).items():
        await asyncio.start_server(
            lambda reader, writer, link=link, target=target: serve(link, target, reader, writer),
            "127.0.0.1", port, backlog=512)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    while line := await orders.readline():
        obey(json.loads(line))
        print("done", flush=True)


asyncio.run(main())
