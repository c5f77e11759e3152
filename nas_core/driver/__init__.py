"""Unattended work: make the figures, keep the ledger, refresh the notebooks. Its modules are imported when needed."""
