from snakecap.steps.train_detector import train_detector
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(train_detector)
