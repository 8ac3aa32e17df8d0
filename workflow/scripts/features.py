from snakecap.steps.features import features
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(features)
