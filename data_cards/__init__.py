"""Cards of the data sets and the models that the code names: a folder each, with a `card.md`."""
