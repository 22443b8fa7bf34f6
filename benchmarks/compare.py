"""Compare two results.

    python benchmarks/compare.py before.json after.json

Exits with 0, whatever differs; with 2 where a file can't be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.harness import comparison, results, table  # noqa: E402


def main() -> int:
    """Print the comparison; the exit code."""
    parser = argparse.ArgumentParser(description="Compare two results of the benchmarks.")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    try:
        old, new = (results.rows_of(results.load(path)) for path in (options.old, options.new))
    except (OSError, ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(table.as_text(comparison.compare(old, new)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
