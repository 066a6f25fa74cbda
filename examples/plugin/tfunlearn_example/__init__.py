"""An aggregation rule, an attack and an unlearning method, one file each."""
