"""Why a transaction is unusual, in sentences: what the API answers, files hold, the report and pages show."""

from models.reasons.explainer import Explainer, largest
from models.reasons.put_back import put_back
from models.reasons.reason import Direction, Reason, Verified
from models.reasons.sentences import MOST_CHARACTERS, UNSEEN, Sentences
from models.reasons.times import cycle_text

__all__ = [
    "MOST_CHARACTERS",
    "UNSEEN",
    "Direction",
    "Explainer",
    "Reason",
    "Sentences",
    "Verified",
    "cycle_text",
    "largest",
    "put_back",
]
