"""Theorems of constant-step SGD with biased gradients."""
