"""Entry points: flags and one importable call each."""
