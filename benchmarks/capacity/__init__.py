"""What one server carries: on paper, by simulation, and against a real server.

`paper` has the formulas, `queueing` a simulation that checks them, `figures` measures what both start from, and
`checking` compares the paper with a real server under load. ``benchmarks/simulation.py`` is the command.
"""
