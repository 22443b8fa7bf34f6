"""The example's settings, with the database and the Redis server of a test."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "example"))

from departures.settings import *  # noqa: E402, F403

DATABASES = {"default": json.loads(os.environ["CONVERGENCE_DATABASE"])}
DIFFS_SETTINGS = {"redis": {"unix_socket_path": os.environ["CONVERGENCE_SOCKET"]}}
