"""Theorems of mutual learning: what peers add to a student's gradient."""
