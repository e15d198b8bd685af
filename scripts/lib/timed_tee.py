"""Copies lines from stdin to stdout and into a log, and notes when each line arrived.

  timed_tee.py LOG    writes LOG and LOG.times; a line of the latter is "SECONDS LINE"

The seconds count from an arbitrary moment: only differences between them mean something.
"""

import sys
import time


def main(log):
    with open(log, "wb") as copy, open(f"{log}.times", "wb") as times:
        for line in sys.stdin.buffer:
            times.write(b"%.3f %b" % (time.monotonic(), line))
            for target in (copy, sys.stdout.buffer):
                target.write(line)
                target.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
