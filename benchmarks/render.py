"""Write the table, the chart and the documents' figures from a saved result.

python benchmarks/render.py benchmarks/results/result.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.harness import pages, results  # noqa: E402


def main() -> int:
    """Render the result that the command line names; the exit code."""
    parser = argparse.ArgumentParser(description="Write table, chart and documents' figures from a saved result.")
    parser.add_argument("result", type=Path)
    options = parser.parse_args()
    try:
        result = results.load(options.result)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for path in pages.render(result):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
