"""Drawn street scenes with exact labels: the data behind ``ToyStreetDataset``.

``scene.draw_scene`` draws one picture with its label map; ``generate.make_toy_dataset`` writes a whole
data set. The drawing uses numpy's elementwise arithmetic alone: addition, multiplication, division and
square root are exact to the last bit on every machine, so the same seed gives the same pixels everywhere.
"""
