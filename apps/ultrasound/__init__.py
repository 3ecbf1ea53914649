"""The ultrasound application: command line and page."""
