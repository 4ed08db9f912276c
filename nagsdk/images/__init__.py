"""Turns images into inputs of networks: preprocessing, folders of images, decoded copies, batches."""
