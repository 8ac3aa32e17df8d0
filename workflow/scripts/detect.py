from snakecap.steps.detect import detect
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(detect)
