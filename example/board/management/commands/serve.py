"""Serve the site by uvicorn, so that pages can wait for what changes."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from board.processes import PATIENCE

HOST = "127.0.0.1"


class Command(BaseCommand):
    """Serve the site by uvicorn. With ``runserver`` its page can only poll."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say what the command takes."""
        parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")

    def handle(self, *args: object, **options: object) -> None:
        """Serve until the process is told to end."""
        try:
            import uvicorn
        except ImportError:
            raise CommandError("The event stream needs an ASGI server: pip install 'django-diffs[demo]'.") from None
        uvicorn.run(
            "departures.asgi:application",
            host=HOST,
            port=options["port"],
            lifespan="off",
            log_level="warning",
            # Streams end by themselves in ten minutes, which is too long for Ctrl-C.
            timeout_graceful_shutdown=int(PATIENCE / 2),
        )
