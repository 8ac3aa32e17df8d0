from snakecap.steps.judge import judge
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(judge)
