"""Models of PyTorch: TorchScript files and exported programs."""
