"""Claims that check themselves: statement, derivation, numeric check, experiment, figure and verdict in one place."""
