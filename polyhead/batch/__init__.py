"""Files in, results out: discovery, isolation of cases, receipts and reports."""
