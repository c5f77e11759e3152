"""A thin library for gradient-based and one-shot neural architecture search, written to be read beside five papers.

    plugins      what a person adds from outside, without editing any of this
    cells        candidate operations, topologies, the supernet, chains, parallel paths, genotypes, evaluation networks
    backends     the same supernet, computed faster
    relaxations  how Z is drawn from logits, and how its cost becomes a gradient of the logits
    probes       what a run observes: costs, losses by correctness, distributions, accuracies
    trainers     a file for each kind of run: its settings and its loop, resumable at every step
    experiments  profiles, seeds, and the settings of every run, one file a paper
    runs         config -> record: cached, resumable, computed once
    claims       records -> verdicts
    report       plots, diagrams, tables, and the one ``save``
    session      what a notebook opens
    driver       unattended work: figures, notebooks, ledger

Nothing imports from a room further down.
"""

__version__ = "0.1.0"
