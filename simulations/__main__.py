"""`python -m simulations` is `recount`."""

from simulations.cli import main

main()
