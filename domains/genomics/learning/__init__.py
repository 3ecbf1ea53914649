"""Learning: unlabelled corpora and labelled rows, where a training starts, pretraining and tuning."""
