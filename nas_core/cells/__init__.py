"""Candidate operations, cell topologies, the supernet, genotypes and the networks they describe."""
