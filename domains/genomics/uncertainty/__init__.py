"""How sure an answer is: temperatures that make probabilities honest."""
