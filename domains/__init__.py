"""The science of each domain: data formats, simulators, models and metrics."""
