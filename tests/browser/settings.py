"""The example's settings, with a Redis server that a test may kill."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "example"))

from departures.settings import *  # noqa: E402, F403

DIFFS_SETTINGS = {"redis": {"unix_socket_path": os.environ["BOARD_REDIS_SOCKET"]}}
