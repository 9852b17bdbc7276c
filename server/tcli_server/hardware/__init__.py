"""What this machine has: cores, memory, GPUs. Facts that placement, limits and metrics ask for."""
