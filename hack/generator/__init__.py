"""What is generated from the catalogue for this repository: rules, and tables of the alerts."""
