"""The checks of scripts/cassandra that bash cannot do, with Python's standard library alone.

  probe.py free-port FROM ADDRESS…            prints the first port from FROM that is free on all addresses
  probe.py answers HOST:PORT                  exits with 0 if a CQL server answers
  probe.py wait HOST:PORT PID SECONDS LABEL   waits until it answers, PID ends (exit 3) or the time is up (exit 4)
  probe.py agree SECONDS HOST:PORT…           waits until every node reaches every replica (exit 4: the time is up)
"""

import socket
import struct
import sys
import time

OPTIONS, STARTUP, READY, SUPPORTED, QUERY, RESULT = 0x05, 0x01, 0x02, 0x06, 0x07, 0x08
CONSISTENCY_ALL = 0x0005
# This system keyspace has three replicas, so with three nodes ALL means every node.
EVERY_REPLICA = b"SELECT * FROM system_distributed.view_build_status WHERE keyspace_name = 'k' AND view_name = 'v'"


def exchange(connection, opcode, body=b""):
    """Sends one frame of native protocol 4 and returns the opcode of the response."""
    connection.sendall(struct.pack(">BBhBi", 0x04, 0, 0, opcode, len(body)) + body)
    header = receive(connection, 9)
    _, _, _, response, length = struct.unpack(">BBhBi", header)
    receive(connection, length)
    return response


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
    """Whether a CQL server at `address` completes the handshake and, if given, answers `query` at ALL."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            if exchange(connection, OPTIONS) != SUPPORTED:
                return False
            options = b"\x00\x01" + encoded_string(b"CQL_VERSION") + encoded_string(b"3.0.0")
            if exchange(connection, STARTUP, options) != READY:
                return query is None  # a server that requires a password is up as well
            if query is None:
                return True
            body = struct.pack(">i", len(query)) + query + struct.pack(">HB", CONSISTENCY_ALL, 0)
            return exchange(connection, QUERY, body) == RESULT
    except (OSError, struct.error):
        return False


def encoded_string(text):
    """Encodes a [string] of the protocol: a short length, then the bytes."""
    return struct.pack(">H", len(text)) + text


def is_running(pid):
    """Whether the process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_free(port, addresses):
    """Whether `port` is unused on every one of the addresses."""
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
    """Shows elapsed seconds: one updating line on a terminal, elsewhere a line every ten seconds."""

    def __init__(self, text):
        self.text, self.start, self.reported = text, time.monotonic(), 0
        self.terminal = sys.stderr.isatty()

    def seconds(self):
        return time.monotonic() - self.start

    def tick(self):
        if self.terminal:
            print(f"\r{self.text} … {self.seconds():.0f} s", end="", file=sys.stderr, flush=True)
        elif self.seconds() >= self.reported + 10:
            self.reported += 10
            print(f"{self.text} … {self.reported} s", file=sys.stderr, flush=True)

    def end(self, text):
        start = "\r\x1b[K" if self.terminal else ""
        print(f"{start}{text}", file=sys.stderr, flush=True)


def wait(address, pid, seconds, label):
    progress = Progress(f"{label}: starting at {address}")
    while progress.seconds() < seconds:
        if answers(address):
            progress.end(f"{label}: answers at {address} after {progress.seconds():.1f} s")
            return 0
        if not is_running(pid):
            progress.end(f"{label}: its process {pid} ended after {progress.seconds():.1f} s")
            return 3
        progress.tick()
        time.sleep(0.2)
    progress.end(f"{label}: no answer at {address} within {seconds:.0f} s")
    return 4


def agree(seconds, addresses):
    progress = Progress("waiting for all nodes to see each other")
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
                if is_free(port, addresses):
                    print(port)
                    return 0
            print(f"ports {first} to {int(first) + 499} are all in use", file=sys.stderr)
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
