"""What every measure is made with.

A measure is a module of ``benchmarks.measures`` with the names of its goals and one function::

    GOALS = ("W1", "W2")

    def measure(run: Run) -> Iterator[Row]: ...

It starts a process for each contender, lets them measure in turns, and yields a row for each comparison::

    with run.worker("plain") as plain, run.worker("registered") as registered:
        for worker in (plain, registered):
            worker.ask("saving.prepare", rows=100)
        times = run.interleave(
            {
                "plain": partial(plain.ask, "saving.update", rows=100),
                "registered": partial(registered.ask, "saving.update", rows=100),
            }
        )
    yield run.row("W1", "an update", "SQLite", times.ratio("registered", "plain"), limit=1.1)

``"saving.update"`` is the function ``update`` of the module ``benchmarks.operations.saving``, called in the contender's
process with the arguments as keywords. It returns a dict of numbers; times are in ``"microseconds"``. The module
`benchmarks.operations.timing` has what it measures with.

``benchmarks.project`` is the Django project in those processes. Its models have the same names, fields and tables
whoever contends: ``benchmarks.project.contenders`` has a module for each contender that defines or registers them.
"""
