"""Unlabelled RGB-TIR pairs, and the ways to propose boxes in them."""
