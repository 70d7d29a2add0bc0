"""Semantic segmentation in the loop: masks from Label Studio, a head on the features of pixels, masks back.

Nothing is held for each pixel of a project: features and masks are read from disk an image at a time, and what was
found out about each image or mask is a short line in `backend.segmentation.memory`.
"""
