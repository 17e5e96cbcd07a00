"""A session as one HTML file, and its answers brought back."""
