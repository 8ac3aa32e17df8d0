from snakecap.steps.caption import caption
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(caption)
