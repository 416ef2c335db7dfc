"""Labels and texts beside next items: what is learnt, and what is answered."""
