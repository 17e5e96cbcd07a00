"""What came out of a study: answers, estimates, exports, statistics."""
