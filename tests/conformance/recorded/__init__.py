"""What is asked of a server with the models of `python_models`, and how its answers are written down and compared."""
