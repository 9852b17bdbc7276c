"""`python -m triton_cli` and the `tcli` console script."""

from triton_cli.app import app


def main() -> None:
    app(prog_name="tcli")


if __name__ == "__main__":
    main()
