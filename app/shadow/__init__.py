"""Challengers in the shadow of the version that serves: they decide what was recorded, and nobody is told but who asks.

A process of their own follows the log, read-only; what it finds is stored apart. The service needs neither.
"""
