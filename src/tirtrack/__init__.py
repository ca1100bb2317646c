"""Better thermal infrared trackers from unlabelled RGB-TIR pairs, by cross-modal distillation."""
