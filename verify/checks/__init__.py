"""The machinery that checks share: symbolic, numeric and statistical comparisons."""
