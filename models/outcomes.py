"""The column of an exported table that says what became of each transaction: ``counterfoil retrain`` reads it.

It stands beside the profile's own label, which may have no word for a disputed transaction, or not be there at all.
"""

OUTCOME = "counterfoil_outcome"
#: Its values; null where nothing is known.
IS_FRAUD, IS_LEGITIMATE, IS_DISPUTED = "fraud", "legitimate", "disputed"
