"""From a folder of a user's own images to a bundle: training, evaluation, accuracy predictor, generator."""
