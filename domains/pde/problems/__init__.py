"""The problems that data are made for: what is varied, how samples are drawn, and the solver that answers them."""
