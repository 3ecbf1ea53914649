"""Data sets of other formats as FM_UIA data roots: one module a format, and one that writes."""
