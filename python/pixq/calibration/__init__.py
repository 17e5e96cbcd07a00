"""Calibration: what a run's scores mean in the domain its user cares about."""
