"""Nearline: a real-time recommender system."""
