from snakecap.steps.vocabulary import vocabulary
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(vocabulary)
