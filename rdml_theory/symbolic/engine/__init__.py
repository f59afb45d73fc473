"""Decides the steps of derivations that are not yet proved in the kernel."""
