from snakecap.steps.encode import encode
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(encode)
