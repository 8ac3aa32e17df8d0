from snakecap.steps.train import train
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(train)
