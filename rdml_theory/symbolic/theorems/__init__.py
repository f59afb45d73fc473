"""Theorems, each proved by the rules of the kernel."""
