"""From a model's change to its diffs."""
