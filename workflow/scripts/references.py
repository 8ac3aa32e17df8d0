from snakecap.steps.references import references
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(references)
