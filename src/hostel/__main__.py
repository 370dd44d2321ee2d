"""`python -m hostel` and the `hostel` command."""

from hostel.cli import main

if __name__ == "__main__":
    main()
