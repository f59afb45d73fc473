"""The commands of the program, one file for each subject; `verify.cli` puts them together."""
