"""Prints columns of the first matching row in the output of `weft console --output json`.

  rows.py [--where COLUMN=VALUE] COLUMN…    prints the values, separated by spaces; exit code 1 if there is no such row

Column names match regardless of case, spaces and underscores; A|B is the first of the two that has a value.
"""

import json
import sys


def normalized(name):
    """Maps 'Batch ID', 'batch_id' and 'batchId' to one name."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def first_value(row, names):
    """The first value among the columns `A|B|…`, else None."""
    values = (row.get(normalized(name)) for name in names.split("|"))
    return next((value for value in values if value is not None), None)


def main(arguments):
    where, wanted = None, arguments
    if arguments[:1] == ["--where"]:
        where, wanted = arguments[1].partition("="), arguments[2:]
    answer = json.load(sys.stdin)
    for row in answer if isinstance(answer, list) else [answer]:
        row = {normalized(name): value for name, value in row.items()}
        if where and str(first_value(row, where[0])) != where[2]:
            continue
        values = [first_value(row, names) for names in wanted]
        if None not in values:
            print(*values)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
