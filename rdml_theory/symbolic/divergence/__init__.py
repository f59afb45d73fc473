"""Theorems of the Rényi divergence and of its gradients."""
