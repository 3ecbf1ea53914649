"""Files in, results out: lists of paths, isolation of cases, receipts and reports."""
