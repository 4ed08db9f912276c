"""Images as inputs of networks: preprocessing, folders of images, decoded copies, batches."""
