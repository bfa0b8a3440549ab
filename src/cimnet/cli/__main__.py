"""``python -m cimnet.cli``, for launchers that start a module."""

from cimnet.cli.main import main

if __name__ == "__main__":
    main()
