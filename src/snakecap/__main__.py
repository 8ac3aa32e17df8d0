"""``python -m snakecap``, and torchrun's ``-m snakecap``: the command."""

from snakecap.cli import main

if __name__ == "__main__":
    main()
