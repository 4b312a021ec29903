"""Drift of the alert rate, as the decision log shows it: in alerts a day, and by which feature."""
