"""Labelled rows of the FM_UIA format: reading, checks, splits, and the way to the network's square."""
