"""The commands of ``threshold-operator`` on files and clusters."""
