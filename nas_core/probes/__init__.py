"""What a run observes: losses split by correctness, local costs, architecture distributions, accuracies."""
