from snakecap.steps.download import download
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(download)
