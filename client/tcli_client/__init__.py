"""Asks any server that speaks the V2 inference protocol: transports and image classification."""
