"""Genomics: one autoregressive model of DNA that answers many tasks: classes, numbers, text and images."""
