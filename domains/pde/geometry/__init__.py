"""Domains with signed distances: planar shapes, drawn masks, meshes, and the designs of the heated plate."""
