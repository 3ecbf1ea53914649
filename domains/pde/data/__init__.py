"""Samples of operator data: in memory, in HDF5 files, exported, and turned by their symmetries."""
