"""TensorFlow's functions that freeze graphs and cut them down, under their own names."""
