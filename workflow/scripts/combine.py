from snakecap.steps.combine import combine
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(combine)
