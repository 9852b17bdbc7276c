"""ONNX files with ONNX Runtime, on the CPU or through its CUDA provider."""
