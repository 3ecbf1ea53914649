"""One script a claim: each measures it and writes its section of RESULTS.md."""
