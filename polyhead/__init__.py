"""The shared multi-head core: tasks, models, balancing, training, runs, inference and batch prediction."""

__version__ = "0.1.0"
