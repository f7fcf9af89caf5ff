"""Networks: the periodic UNet, its embeddings and the moving average of its weights."""
