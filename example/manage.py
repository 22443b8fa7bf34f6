#!/usr/bin/env python
"""The example's commands: ``python example/manage.py demo`` shows all of it."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "departures.settings")
    execute_from_command_line(sys.argv)
