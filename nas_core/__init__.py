"""A thin library for gradient-based and one-shot neural architecture search, written to be read beside five papers.

    plugins      what a person adds from outside, without editing any of this
    cells        candidate operations, topologies, the supernet, genotypes, the evaluation network
    relaxations  how Z is drawn from logits, and how its cost becomes a gradient of the logits
    probes       what a run observes: costs, losses by correctness, distributions, accuracies
    trainers     the search loop, resumable at every step
    catalogue    profiles and the settings of every run
    runs         config -> record: cached, resumable, computed once
    claims       records -> verdicts
    report       plots, diagrams, tables, and the one ``save``

Nothing imports from a room further down.
"""

__version__ = "0.1.0"
