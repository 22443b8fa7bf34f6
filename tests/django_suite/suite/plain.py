"""Settings of the plain run: Django's own, with our databases and a test runner that writes down every outcome."""

import json
import os

from test_sqlite import *  # noqa: F403

DATABASES = json.loads(os.environ["DJANGO_SUITE_DATABASES"])
TEST_RUNNER = "suite.recorder.RecordingRunner"
