"""Scoring and behaviour features on Apache Spark, where a history no longer fits one machine: ``docs/scaling.md``.

The same parser, kernel and graph as on one machine, called on Arrow batches by the workers; here is only what brings
the rows to them in the right order. Needs the extra ``[spark]`` on the driver and on every executor.
"""
