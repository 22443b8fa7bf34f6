"""One module for each family of goals: what `benchmarks.harness` describes."""
