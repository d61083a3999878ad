"""What is generated here: rules and tables from the catalogue, the CRD's schema from the model."""
