"""The genomics application: its command line and its page."""
