"""`python -m stocks_api`."""

from stocks_api.main import main

main()
