"""Ultrasound: the FM_UIA data format, a B-mode simulator, the MH-MTL systems, prediction and metrics."""
