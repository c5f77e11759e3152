"""Claims of the wiring paper on its remedies."""
