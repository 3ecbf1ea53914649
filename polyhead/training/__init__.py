"""What a training is made of; `polyhead.train.fit` puts it together."""
