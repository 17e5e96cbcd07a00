"""The flicker study: at which level people first notice a change, and where."""
