"""`python -m second_opinion.gateway` is the command `opinion`."""

from second_opinion.gateway.cli import main

if __name__ == "__main__":
    main()
