"""OpenVINO IR, ONNX and TensorFlow Lite files with OpenVINO."""
