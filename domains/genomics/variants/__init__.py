"""Effects of variants and of every single-base change, and their files."""
