"""Samples made by our own solvers: drawn, solved and written block by block."""
