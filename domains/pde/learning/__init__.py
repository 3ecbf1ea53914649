"""Training: samples as the loop takes them, losses, where a training starts, polishing, transfer."""
