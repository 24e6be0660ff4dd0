"""What the flows share of Prefect itself: retries, finished work, artifacts, events, turns.

The one package under `flows/` that imports Prefect; the capabilities beside it do not.
"""
