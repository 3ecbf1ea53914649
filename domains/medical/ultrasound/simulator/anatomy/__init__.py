"""Anatomy-like scenes, one function a picture: (generator, probe, variant) -> Scene.

They imitate what a sonographer sees well enough to train and test software; they are not models of any person's body.
"""
