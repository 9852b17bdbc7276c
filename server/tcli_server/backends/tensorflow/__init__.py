"""SavedModels of TensorFlow."""
