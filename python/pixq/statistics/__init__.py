"""Statistics: metrics, correlations, bootstrap intervals."""
