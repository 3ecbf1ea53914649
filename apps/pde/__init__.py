"""PDE operators: the command line of `polyhead pde`, its demonstration, and what the suite sees of it."""
