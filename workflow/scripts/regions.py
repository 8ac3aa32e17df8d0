from snakecap.steps.regions import regions
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(regions)
