"""A judging process: pieces of a list in, leads and quarantined rows out, as Arrow files. Started by `judges` only.

It reads lines of JSON: the rules, then one job a line, and answers each with a line. When its input closes it ends,
so that it never outlives its parent by more than one piece.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa

from lead_intel.intake.judging import Rules, judged
from lead_intel.intake.tables import read_table, write_table


def main() -> None:
    """Judge one piece after another until the input closes."""
    pa.set_cpu_count(1)
    rules = Rules.from_json(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        job = json.loads(line)
        piece = Path(job["piece"])
        leads, quarantined = judged(read_table(piece), rules)
        piece.unlink()
        write_table(Path(job["leads"]), leads)
        write_table(Path(job["quarantined"]), quarantined)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
