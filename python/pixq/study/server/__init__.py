"""The server of a study: pages, requests, limits."""
