"""DNA as letters, records, windows, k-mers and tokens."""
