"""Result tables of the papers, as CSV."""
