"""Asks the questions scripts/cassandra cannot ask in bash, with Python's standard library alone.

  probe.py free-port FROM ADDRESS…            the first port from FROM on that is free on all addresses
  probe.py answers HOST:PORT                  exit 0 when a CQL server answers there now
  probe.py wait HOST:PORT PID SECONDS LABEL   until it answers, PID is gone (exit 3) or time is over (exit 4)
  probe.py agree SECONDS HOST:PORT…           until every node reaches every replica (exit 4: time is over)
"""

import socket
import struct
import sys
import time

OPTIONS, STARTUP, READY, SUPPORTED, QUERY, RESULT = 0x05, 0x01, 0x02, 0x06, 0x07, 0x08
CONSISTENCY_ALL = 0x0005
# This keyspace of Cassandra's own has three replicas, so with three nodes ALL means every node.
EVERY_REPLICA = b"SELECT * FROM system_distributed.view_build_status WHERE keyspace_name = 'k' AND view_name = 'v'"


def exchange(connection, opcode, body=b""):
    """Sends one frame of native protocol 4 and returns the opcode of the answer."""
    connection.sendall(struct.pack(">BBhBi", 0x04, 0, 0, opcode, len(body)) + body)
    header = receive(connection, 9)
    _, _, _, answer, length = struct.unpack(">BBhBi", header)
    receive(connection, length)
    return answer


def receive(connection, length):
    """Reads exactly `length` bytes."""
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionError("closed by the server")
        received += part
    return received


def answers(address, query=None):
    """Whether a CQL server shakes hands at `address` and, if given, answers `query` at ALL."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            if exchange(connection, OPTIONS) != SUPPORTED:
                return False
            options = b"\x00\x01" + string(b"CQL_VERSION") + string(b"3.0.0")
            if exchange(connection, STARTUP, options) != READY:
                return query is None  # a server that asks for a password is up all the same
            if query is None:
                return True
            body = struct.pack(">i", len(query)) + query + struct.pack(">HB", CONSISTENCY_ALL, 0)
            return exchange(connection, QUERY, body) == RESULT
    except (OSError, struct.error):
        return False


def string(text):
    """The protocol's [string]: a short length, then the bytes."""
    return struct.pack(">H", len(text)) + text


def running(pid):
    """Whether the process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def free(port, addresses):
    """Whether nobody listens at `port` on any of the addresses."""
    for address in addresses:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, port))
                listener.listen(1)
            except OSError:
                return False
    return True


class Progress:
    """One line that counts seconds on a terminal; a plain line every ten seconds elsewhere."""

    def __init__(self, text):
        self.text, self.start, self.said = text, time.monotonic(), 0
        self.terminal = sys.stderr.isatty()

    def seconds(self):
        return time.monotonic() - self.start

    def tick(self):
        if self.terminal:
            print(f"\r{self.text} … {self.seconds():.0f} s", end="", file=sys.stderr, flush=True)
        elif self.seconds() >= self.said + 10:
            self.said += 10
            print(f"{self.text} … {self.said} s", file=sys.stderr, flush=True)

    def end(self, text):
        start = "\r\x1b[K" if self.terminal else ""
        print(f"{start}{text}", file=sys.stderr, flush=True)


def wait(address, pid, seconds, label):
    progress = Progress(f"{label}: starting at {address}")
    while progress.seconds() < seconds:
        if answers(address):
            progress.end(f"{label}: answers at {address} after {progress.seconds():.1f} s")
            return 0
        if not running(pid):
            progress.end(f"{label}: its process {pid} ended after {progress.seconds():.1f} s")
            return 3
        progress.tick()
        time.sleep(0.2)
    progress.end(f"{label}: no answer at {address} within {seconds:.0f} s")
    return 4


def agree(seconds, addresses):
    progress = Progress("waiting until all nodes see each other")
    missing = list(addresses)
    while progress.seconds() < seconds:
        missing = [address for address in missing if not answers(address, EVERY_REPLICA)]
        if not missing:
            return 0
        progress.tick()
        time.sleep(0.2)
    progress.end(f"{', '.join(missing)} did not reach every node within {seconds:.0f} s")
    return 4


def main(arguments):
    match arguments:
        case ["free-port", first, *addresses]:
            for port in range(int(first), min(int(first) + 500, 65536)):
                if free(port, addresses):
                    print(port)
                    return 0
            print(f"no free port in the 500 from {first} on", file=sys.stderr)
            return 1
        case ["answers", address]:
            return 0 if answers(address) else 1
        case ["wait", address, pid, seconds, label]:
            return wait(address, int(pid), float(seconds), label)
        case ["agree", seconds, *addresses]:
            return agree(float(seconds), addresses)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
