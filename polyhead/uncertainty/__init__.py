"""How far an answer may be trusted: distances from what was trained on, temperatures, reliability."""
