"""Tests leave nothing in the user's cache directory, and take nothing from it."""

import os

os.environ["RDML_CACHE"] = ""
