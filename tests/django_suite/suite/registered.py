"""Settings of the registered run: the plain ones, with django-diffs recording every model."""

import os
import sys

from suite.plain import *  # noqa: F403

DIFFS_SETTINGS = {"redis": {"unix_socket_path": os.environ["DJANGO_SUITE_REDIS"]}}

# Django's runtests.py takes its list of installed apps from itself, not from the settings; these are read before it
# does. First comes what registers, so that it listens before any model is made.
sys.modules["__main__"].ALWAYS_INSTALLED_APPS[:0] = ["suite.registration.RegistrationConfig", "diffs"]
