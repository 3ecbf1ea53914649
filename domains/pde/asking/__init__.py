"""Questions to a trained operator: what is asked, of which geometry, from which files, and what a solver answers."""
