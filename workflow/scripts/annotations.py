from snakecap.steps.annotations import annotations
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(annotations)
