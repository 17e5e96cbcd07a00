"""Calibration: scores become classes, qualities, probabilities and sets of classes, for the domain that matters."""
