"""Budget in, architectures out: prices of limits and the policy that reads them, exact frontiers, rivals."""
