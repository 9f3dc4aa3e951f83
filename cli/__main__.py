"""`python -m cli` is `forewarn`: how commands start each other without knowing where the console script stands."""

from cli.main import main

main()
