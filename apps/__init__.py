"""Applications: one folder each, with its command line and its page."""
