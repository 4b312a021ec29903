"""Behaviour features: what is unusual for this card or this merchant, the same live and in training.

``docs/behaviour.md`` defines every feature. :mod:`models.behaviour.spec` is the declaration and
:mod:`models.behaviour.kernel` the one implementation; :mod:`models.behaviour.replay` runs it over a history.
"""
