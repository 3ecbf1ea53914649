"""Writing results that people look at: overlays and measurements."""
