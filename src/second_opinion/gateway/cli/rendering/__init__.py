"""How results look: laid out for people on a terminal, as plain rows in a pipe."""
