"""How far measurements can be trusted: what disturbed them, what pairs of them prove, how sure a percentile is."""
