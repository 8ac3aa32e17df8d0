from snakecap.steps.score_dense import score_dense
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(score_dense)
