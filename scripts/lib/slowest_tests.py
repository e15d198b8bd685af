"""Prints the slowest tests in logs that timed_tee.py wrote, the slowest first: seconds and name.

  slowest_tests.py COUNT THREADS LOG.times…

The test harness reports when a test ends, not how long it ran. It starts tests in the order of their names, one per
thread, and the next one whenever a test ends. So the start of each test follows from the ends before it.
"""

import re
import sys

HARNESS = re.compile(r"(\d+\.\d+) running \d+ tests?$")
END = re.compile(r"(\d+\.\d+) test (.+?)(?: - should panic)? \.\.\. (?:ok|FAILED)\b")


def durations(start, ends, threads):
    """The seconds and the name of each test of one harness; `ends` are its (name, end) in the order of the ends."""
    names = sorted(name for name, _ in ends)
    starts = dict.fromkeys(names[:threads], start)
    waiting = iter(names[threads:])
    for name, end in ends:
        yield end - starts.get(name, end), name
        starts[next(waiting, None)] = end


def harnesses(log):
    """The start and the ends of each harness whose output is in the log."""
    start, ends = None, []
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if begun := HARNESS.match(line):
                yield start, ends
                start, ends = float(begun[1]), []
            elif ended := END.match(line):
                ends.append((ended[2], float(ended[1])))
    yield start, ends


def main(count, threads, *logs):
    tests = [
        test
        for log in logs
        for start, ends in harnesses(log)
        if start is not None
        for test in durations(start, ends, int(threads))
    ]
    for seconds, name in sorted(tests, reverse=True)[: int(count)]:
        print(f"{seconds:7.1f}  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
