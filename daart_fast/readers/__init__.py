"""Files -> arrays. NumPy only: nothing here needs torch."""
