"""How far an answer may be off: bands by split conformal calibration."""
