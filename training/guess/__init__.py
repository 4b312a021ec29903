"""Guess a schema profile from a table: what an expert would write down after a look at it, with reasons."""

from training.guess.profile import GuessedProfile, guess_profile
from training.guess.table import Guess

__all__ = ["Guess", "GuessedProfile", "guess_profile"]
