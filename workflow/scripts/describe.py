from snakecap.steps.describe import describe
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(describe)
