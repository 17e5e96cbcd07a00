"""From patches to scores, and from scores to a quality map."""
