"""The method, and the training that surrounds it."""
