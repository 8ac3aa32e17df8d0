from snakecap.steps.score import score
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(score)
