"""`python -m trtconv` is the command `trtconv`."""

from trtconv.cli import main

if __name__ == "__main__":
    main()
