"""Segmentation learned: the features of pixels, and what learns from them and from masks.

Learning and judging happen at *work size*: an image or mask reduced so that its longer side is at most 512 pixels
(`ml.segmentation.sizes`). Probabilities are arrays (K, h, w) of float32: the class first.
"""
