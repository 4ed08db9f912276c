"""Generation of architectures for budgets: the policy and the prices it reads, exact frontiers, other strategies."""
