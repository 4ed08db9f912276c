"""Budget in, architectures out: exact frontiers, and the policy that is distilled from them."""
