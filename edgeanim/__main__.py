"""`python -m edgeanim`."""

from edgeanim.cli.main import main

if __name__ == "__main__":
    main()
