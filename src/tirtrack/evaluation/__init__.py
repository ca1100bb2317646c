"""Scores that agree with the official toolkits, and statistics beyond them."""
