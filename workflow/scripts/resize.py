from snakecap.steps.resize import resize
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(resize)
