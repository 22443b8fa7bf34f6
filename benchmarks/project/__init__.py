"""The Django project that contenders run in."""
