"""How much each weight matters. The weights with the lowest scores are pruned first."""
