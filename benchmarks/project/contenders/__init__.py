"""One module for each contender, with models of the same names and fields."""
