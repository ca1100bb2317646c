"""Shipped weights with their cards, and the store that finds, reads and writes them."""
