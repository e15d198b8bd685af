"""Reads what `weft console --output json` prints and picks columns of its first matching row.

  rows.py [--where COLUMN=VALUE] COLUMN…    prints the values, separated by blanks; exit 1 when there are none

The case, blanks and underscores of a column's name do not matter; A|B is the first of the two that is there.
"""

import json
import sys


def plain(name):
    """'Batch ID', 'batch_id' and 'batchId' are one name."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def value(row, names):
    """The first of the columns `A|B|…` that has a value, else None."""
    found = (row.get(plain(name)) for name in names.split("|"))
    return next((each for each in found if each is not None), None)


def main(arguments):
    where, wanted = None, arguments
    if arguments[:1] == ["--where"]:
        where, wanted = arguments[1].partition("="), arguments[2:]
    answer = json.load(sys.stdin)
    for row in answer if isinstance(answer, list) else [answer]:
        row = {plain(name): each for name, each in row.items()}
        if where and str(value(row, where[0])) != where[2]:
            continue
        values = [value(row, names) for names in wanted]
        if None not in values:
            print(*values)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
