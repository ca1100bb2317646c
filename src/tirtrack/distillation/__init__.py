"""Cross-modal distillation: the method, and the training around it."""
