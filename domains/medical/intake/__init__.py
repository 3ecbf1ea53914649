"""Reading medical images from disk: formats, checks, pixel spacing."""
