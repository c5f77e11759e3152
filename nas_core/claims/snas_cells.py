"""Claims of SNAS on its cells: resource constraints, retraining, baselines."""
