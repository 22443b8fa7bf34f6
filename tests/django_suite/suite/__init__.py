"""Parts of the runner that puts Django's own tests through registered models."""
