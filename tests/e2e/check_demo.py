"""The demo must really see: in its table a fine-tuned CIDEr is three times its own control's.

python tests/e2e/check_demo.py results/shapes/report/test/table.csv
"""

import sys

import pandas as pd

FACTOR = 3.0


def main() -> None:
    table = pd.read_csv(sys.argv[1])
    control = next(name for name in table.columns if "control" in name.lower())
    missing = table[table[control].isna()]
    if len(missing):
        sys.exit(f"no shuffled-image control for {list(missing['system'])}")
    tuned = table[table["stage"] == "finetune"]
    if tuned.empty:
        sys.exit("no fine-tuned model in the table")
    for _, row in tuned.iterrows():
        ratio = row["CIDEr"] / row[control]
        print(
            f"{row['system']}: CIDEr {row['CIDEr']:.3f}, control {row[control]:.3f}: {ratio:.1f}x"
        )
        if ratio < FACTOR:
            sys.exit(f"less than {FACTOR} times its control: the model does not see")


if __name__ == "__main__":
    main()
