"""Explorers: pictures that follow sliders and drop-downs, and stand still where no kernel runs.

Each module computes numbers, draws them, and has one function ``explore`` that ties both to controls.
"""
