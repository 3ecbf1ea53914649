"""Training: rows as samples, augmentation, losses, the training itself."""
