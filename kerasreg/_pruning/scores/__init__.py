"""Scores: how important each weight is. The lowest scores are pruned first."""
