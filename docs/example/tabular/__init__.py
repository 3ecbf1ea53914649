"""An application of polyhead in a package of its own: three questions about a wine, answered by one small network."""
