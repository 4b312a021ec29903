"""What a score is: schema, behaviour features, detector, calibration, bundle, scorer."""

from models.dependencies import silence

silence()
