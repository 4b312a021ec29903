"""Retraining: rows from the decision log, a challenger beside the active version, and whether it may take its place."""
